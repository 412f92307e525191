"""Whether Sophgo's caches of reordered weights are as new as the vLLM that uses them, as far as that can be seen."""

import os
from pathlib import Path

import pytest
from trees import captured, folder_for_all, nobody, plant, put

from monitor import catalog
from monitor.collect.process.look import Address, Watch
from monitor.model import Fact

SOPHGO, OTHER = "sophgo-0.7.3_pythonpath-order", "vllm-0.32_cpu"
INSTALLED = 1_735_000_000
"""When the captured vllm 0.7.3 was installed."""
ROOT = Path("proc/7000/root")
PACKAGES = ROOT / "usr/local/lib/python3.10/dist-packages"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return plant(captured(SOPHGO), tmp_path)


def cached(tree: Path, model: str, changed: int) -> None:
    """Put a model's reordered weights there, made at a time."""
    folder = tree / ROOT / "data/.reorder_cache" / model
    put(folder / "model.safetensors", "weights")
    os.utime(folder, (changed, changed))


def told(tree: Path) -> Fact | None:
    """Give the fact, if there is one."""
    _, facts = Watch(tree / "proc", tree / "sys", Address(8000, loopback=True)).look(1.0)
    return next((fact for fact in facts if fact.name == catalog.SOPHGO_REORDER_CACHE), None)


def value(tree: Path) -> str | None:
    found = told(tree)
    assert found
    assert "/proc/7000/root/data/.reorder_cache" == found.path
    return found.value


def test_no_cache(tree: Path) -> None:
    """Where nothing was ever reordered there is no cache, which is a value; so is an empty one."""
    before = value(tree)
    (tree / ROOT / "data/.reorder_cache").mkdir(parents=True)

    assert ("none", "none") == (before, value(tree))


def test_fresh_caches(tree: Path) -> None:
    """A cache made by the installed vLLM, at the earliest while it was installed, is fresh."""
    cached(tree, "Qwen2-72B", INSTALLED)
    cached(tree, "Llama-2-7B-Chat-GPTQ", INSTALLED + 1)

    assert "fresh" == value(tree)


def test_stale_caches(tree: Path) -> None:
    """A cache older than the installed vLLM is told with the model whose it is, and with the version."""
    cached(tree, "Qwen2-72B", INSTALLED - 1)
    cached(tree, "Llama-2-7B-Chat-GPTQ", INSTALLED - 86_400)
    cached(tree, "Qwen2-7B", INSTALLED + 1)

    assert "older than vllm 0.7.3: Llama-2-7B-Chat-GPTQ Qwen2-72B" == value(tree)


def test_a_cache_that_leads_elsewhere_is_read_there(tree: Path) -> None:
    """Links in the server's root lead where they lead there: a cache may lie on another disk."""
    cached(tree, "Qwen2-72B", INSTALLED - 1)
    (tree / ROOT / "data").rename(tree / ROOT / "disk")
    (tree / ROOT / "data").symlink_to("/disk")

    assert "older than vllm 0.7.3: Qwen2-72B" == value(tree)


def test_a_vllm_of_unknown_age(tree: Path) -> None:
    """Where no vllm is installed, as when it runs from sources, the age of a cache says nothing."""
    cached(tree, "Qwen2-72B", INSTALLED)
    (tree / PACKAGES / "vllm-0.7.3-py3.10.egg-info").rename(tree / PACKAGES / "other")
    found = told(tree)

    assert found
    assert (None, "no vllm is found installed") == (found.value, found.why[:26])


def test_a_cache_that_may_not_be_read() -> None:
    """A cache without rights is unreadable, and says which one is missing."""
    with folder_for_all() as folder:
        here = plant(captured(SOPHGO), folder)
        cached(here, "Qwen2-72B", INSTALLED)
        cache = here / ROOT / "data/.reorder_cache"
        cache.chmod(0)
        with nobody():
            found = told(here)
        cache.chmod(0o755)

    assert found
    assert (None, "needs: the right to read /data/.reorder_cache") == (found.value, found.why[:45])


def test_only_of_sophgos(tree: Path, tmp_path: Path) -> None:
    """Another vLLM has no such fact, whatever lies there; Sophgo's is known by its torch, its libraries or plug-in."""
    other = plant(captured(OTHER), tmp_path / "other")
    (other / "proc/19741/root/data/.reorder_cache/x").mkdir(parents=True)
    known = [told(other)]
    for name in ("torch_tpu-2.1.0.post1.dist-info", ""):
        if name:
            (tree / PACKAGES / name).rename(tree / PACKAGES / "gone")
        else:
            put(tree / "proc/7000/maps", (tree / "proc/7000/maps").read_text().replace("torch_tpu", "torch"))
        known.append(told(tree))
    put(tree / "proc/7000/environ", "PYTHONPATH=/workspace/vllm\0")
    known.append(told(tree))

    assert [False, True, True, False] == [fact is not None for fact in known]
