"""The serving process in the beat, at the doctor's, and by hand: its settings drift, its number does not."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from click.testing import CliRunner
from examples import baseline
from serving import simulated
from trees import captured, folder_for_all, nobody, plant, put
from world import NAME, Calm, bird, settings_for

from monitor.canary.canary import Server
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.app import app
from monitor.collect.vllm import look as vllm
from monitor.doctor import Check, examine
from monitor.heartbeat import REMOTE, Heart
from monitor.model import Beat
from monitor.parts import others
from monitor.serve import pulse, tell
from monitor.settings import Host, Settings, StoreSettings, Target
from monitor.store.store import Store

REAL = "vllm-0.32_cpu"
HERE = Target(url="http://127.0.0.1:8000")


def roots(tree: Path) -> Settings:
    return Settings(host=Host(procfs=tree / "proc", sysfs=tree / "sys"))


@asynccontextmanager
async def heart(url: str, tree: Path, store: Store) -> AsyncIterator[Heart]:
    """Give the heart of a simulated server whose process is the captured one."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=5.0) as client:
        stopwatch = Stopwatch(Calm)
        canary = bird(client, stopwatch)
        canary.serves(Server("tiny", "0.32.0"))
        chosen = settings_for(url, "", "on", "")
        plan, looks = pulse(NAME, chosen.target[NAME], chosen), others(roots(tree), HERE)
        beating = Heart(
            plan,
            partial(vllm.look, client),
            canary,
            stopwatch,
            store,
            REMOTE,
            partial(tell, chosen),
            tuple(looks.items()),
        )
        await beating.wake()
        yield beating


def drifted(beat: Beat) -> set[str]:
    """Name the settings that are not as they were; what a rule says of them is another finding."""
    return {entry.finding.subject for entry in beat.open if entry.finding.key.startswith("tuning:")}


def restart(tree: Path, argument: str) -> None:
    """Let the server have been started again, as a later process with another argument."""
    line = tree / "proc/19741/cmdline"
    line.write_bytes(line.read_bytes().replace(b"--dtype\0float32\0", argument.encode()))
    text = (tree / "proc/19741/stat").read_text()
    put(tree / "proc/19741/stat", text.replace(" 1213170 ", " 1999999 "))


async def test_what_the_process_shows_drifts(tmp_path: Path) -> None:
    """A server that is started with another argument has drifted from its baseline; what it reads is in the beat."""
    tree, store = plant(captured(REAL), tmp_path / "tree"), Store(f"sqlite:///{tmp_path / 'm.db'}")
    async with simulated() as server, heart(server.url, tree, store) as beating:
        first = await beating.beat()
        facts = tuple(fact for snapshot in first.snapshots for fact in snapshot.facts)
        store.baselines.save(baseline(endpoint=Target(url=server.url).endpoint, facts=facts))
        same = [await beating.beat(), await beating.beat()][-1]
        restart(tree, "--dtype\0half\0")
        changed = [await beating.beat(), await beating.beat()][-1]
    noted = {change.fact: (change.before, change.after) for change in store.history.changes(NAME, 0.0)}
    store.close()

    assert ["vllm", "process"] == [snapshot.source for snapshot in first.snapshots]
    assert {"vllm_monitor_vllm_swapped_bytes", "vllm_monitor_vllm_cpu_throttled_seconds_total"} <= {
        reading.metric for reading in first.readings
    }
    assert set() == drifted(same)
    assert {"process.arg.dtype"} == drifted(changed)
    assert ("float32", "half") == noted["process.arg.dtype"]


async def test_a_process_that_was_seen_is_no_server_that_was_seen(tmp_path: Path) -> None:
    """A server that never answered is waited for, also by the next monitor, though its process is there."""
    tree, store = plant(captured(REAL), tmp_path / "tree"), Store(f"sqlite:///{tmp_path / 'm.db'}")
    states = []
    for _ in range(2):
        async with heart("http://127.0.0.1:9", tree, store) as beating:
            states.append((await beating.beat()).state)
    store.close()

    assert ["waiting", "waiting"] == states


async def checks(tree: Path, folder: Path, url: str, **target: str) -> dict[str, list[Check]]:
    chosen = Settings(
        target={"llama": Target.model_validate({"url": url, **target})},
        host=roots(tree).host,
        store=StoreSettings.model_validate({"url": f"sqlite:///{folder / 'm.db'}"}),
    )
    found: dict[str, list[Check]] = {}
    async for check in examine(chosen):
        found.setdefault(check.name, []).append(check)
    return found


async def test_the_doctor_on_a_process(tmp_path: Path) -> None:
    """The doctor counts what can be read of the process, and says once what one right would add."""
    async with simulated() as server:
        with folder_for_all() as folder:
            port = urlsplit(server.url).port or 0
            tree = plant(captured(REAL).replace(":1F40 ", f":{port:04X} "), folder)
            for pid in ("19741", "20384", "20385", "20397"):
                (tree / "proc" / pid / "environ").chmod(0)
            with nobody():
                found = await checks(tree, tmp_path, server.url)
    (first,), rest = found["target llama process"], found["target llama process facts"]

    assert first.works
    assert "facts readable of process 19741, as uid " in first.says
    assert ["uid 0 with SYS_PTRACE (docs/install.md, level process facts)"] == [one.add for one in rest]
    assert re.fullmatch(r"process\.env\.PYTORCH_NPU_ALLOC_CONF and \d+ more unreadable", rest[0].says)


async def test_the_doctor_without_a_process(tmp_path: Path) -> None:
    """Where no process is found the doctor says why, and counts it for no failure; elsewhere it does not look."""
    (tmp_path / "proc").mkdir()
    (near,) = (await checks(tmp_path, tmp_path, "http://127.0.0.1:9"))["target llama process"]
    far = await checks(tmp_path, tmp_path, "http://127.0.0.1:9", local="no")

    assert near.works is None
    assert near.says.startswith("no vLLM server is seen in ")
    assert "target llama process" not in far


def test_look_by_hand(tmp_path: Path) -> None:
    """`monitor look --only process` needs no server that answers, only its process; elsewhere it says so."""
    tree = plant(captured(REAL), tmp_path)
    env = {"MONITOR_HOST__PROCFS": str(tree / "proc"), "MONITOR_HOST__SYSFS": str(tree / "sys")}
    look = ["look", "--only", "process", "--json", "--target"]
    near = CliRunner().invoke(app, [*look, "http://127.0.0.1:8000"], env=env)
    far = CliRunner().invoke(app, [*look, "http://vllm.example.org:8000"], env=env)

    (snapshot,) = json.loads(near.stdout)["snapshots"]
    assert ("process", True, "127.0.0.1:8000") == (snapshot["source"], snapshot["ok"], snapshot["target"])
    assert "tiny" in {fact["value"] for fact in snapshot["facts"]}
    (missing,) = json.loads(far.stdout)["snapshots"]
    assert (1, False) == (far.exit_code, missing["ok"])
    assert 'set local = "yes"' in missing["error"]
