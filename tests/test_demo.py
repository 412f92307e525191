"""The demo's stage: every part of it is real to the monitor, and all of it goes away."""

import subprocess
from pathlib import Path

import httpx
import pytest

from monitor import catalog
from monitor.collect.ascend import look as ascend
from monitor.collect.host import look as host
from monitor.collect.sophgo import look as sophgo
from monitor.demo.scene import build, set_governor
from monitor.demo.story import staged
from monitor.settings_source import load

pytestmark = pytest.mark.alone


def test_scene(tmp_path: Path) -> None:
    """The settings load, the tools print what the collectors read, and the host's governor can flip."""
    chosen = load(build(tmp_path, "http://127.0.0.1:8000"), {})
    printed = [
        subprocess.run([tmp_path / "bin" / tool], capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
        for tool in ("npu-smi", "tpu-smi")
    ]
    roots = host.Roots(chosen.host.procfs, chosen.host.sysfs)

    def governor() -> str | None:
        return {fact.name: fact.value for fact in host.look(roots, 0.0)[1]}[catalog.GOVERNOR]

    before = governor()
    set_governor(tmp_path, "powersave")

    assert ("performance", "powersave") == (before, governor())
    facts = {fact.name: fact.value for fact in ascend.parse(printed[0], 0.0)[1]}
    assert "1x 910B3" == facts[catalog.ASCEND_DEVICES]
    assert "1x TPU" == sophgo.parse(printed[1], 0.0)[1][0].value


def test_stage_is_set_and_struck() -> None:
    """The demo's parts serve while it runs; at its end nothing of it is left."""
    said: list[str] = []
    with staged("127.0.0.1:0", said.append) as stage:
        metrics = httpx.get(f"{stage.monitor}/metrics").text
        stage.turn(slow=2.0)
        folder = stage.folder

    assert "vllm_monitor_build_info{" in metrics
    assert not folder.exists()
    assert 3 == len(said)
    try:
        httpx.get(f"{stage.server}/health")
    except httpx.ConnectError:
        return
    raise AssertionError("the simulated server still runs")
