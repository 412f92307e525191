"""Whom we ask for accelerators follows from settings and tools; what is not ours to touch is not touched."""

import os
from pathlib import Path

import pytest

from monitor import catalog
from monitor.collect.registry import DEVICE_COLLECTORS, run
from monitor.devices import LOCK, sources
from monitor.doctor import Check, examine
from monitor.export.board import OLD_FIGURES, Board, Periods
from monitor.model import Fact, Reading, Snapshot, labels
from monitor.parts import node_looks
from monitor.settings import Ascend, Host, Settings, StoreSettings, Target

DIES = Path(__file__).parent / "captures" / "ascend" / "info_A3-Ascend910_25.2.0_dual-die_dash-power.txt"
CHIPS = '{"card0": {"chip0": {"status": "Active"}}}'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the only folder of ours on the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put(tools: Path, name: str, does: str) -> None:
    (tools / name).write_text(f"#!/bin/sh\nPATH={os.defpath}\ntouch {tools}/ran-{name}\n{does}\n")
    (tools / name).chmod(0o755)


def settings(root: Path, **ascend: str) -> Settings:
    host = Host(procfs=root / "proc", sysfs=root / "sys", rootfs=root)
    return Settings(
        target={"gone": Target(url="http://127.0.0.1:9")},
        host=host,
        store=StoreSettings.model_validate({"url": f"sqlite:///{root / 'm.db'}"}),
        ascend=Ascend.model_validate({"lock_file": str(root / "lock"), **ascend}),
    )


def known(facts: tuple[Fact, ...]) -> dict[str, Fact]:
    return {fact.name: fact for fact in facts}


def test_every_collector_has_its_source(tmp_path: Path) -> None:
    """What can be asked for by name is what there are sources of."""
    assert DEVICE_COLLECTORS == tuple(sources(settings(tmp_path)))


@pytest.mark.parametrize(
    ("ascend", "tool", "missing", "asked"),
    [
        ({}, True, "", "npu-smi"),
        ({}, False, "no npu-smi here", "npu-smi"),
        ({"source": "npu-smi"}, False, "", "npu-smi"),
        ({"source": "npu-exporter"}, True, "", "http://localhost:8082"),
        ({"source": "npu-exporter", "npu_exporter_url": "http://npu:1/x"}, False, "", "http://npu:1/x"),
        ({"source": "npu-exporter", "npu_exporter_url": ""}, True, "no npu-exporter is named", "nobody"),
        ({"source": "off"}, True, "switched off", "nobody"),
    ],
)
def test_choice_of_the_source(
    tools: Path, tmp_path: Path, ascend: dict[str, str], missing: str, asked: str, *, tool: bool
) -> None:
    """The tool is asked where it is found or wanted, the exporter where it is wanted and named, nobody if told so."""
    if tool:
        put(tools, "npu-smi", "exit 0")
    chosen = settings(tmp_path, **ascend)

    source = sources(chosen)["ascend"]

    assert (missing, asked) == (source.missing, source.asked)
    assert ("ascend" in node_looks(chosen)) == (not missing)


@pytest.mark.parametrize("ascend", [{"source": "off"}, {"source": "npu-exporter", "npu_exporter_url": ""}])
async def test_device_that_is_not_ours(tools: Path, tmp_path: Path, ascend: dict[str, str]) -> None:
    """Even when asked for by name, a source that is not chosen is not touched, and what to set is told."""
    put(tools, "npu-smi", f"tail -n +2 '{DIES}'")

    snapshot = await run("ascend", sources(settings(tmp_path, **ascend))["ascend"].look, 5.0)

    assert "set [ascend]" in snapshot.error
    assert not (tools / "ran-npu-smi").exists()


async def test_processes_are_joined(tools: Path, tmp_path: Path) -> None:
    """A worker that the listed process is, started by a server that says so, marks the device as one that serves."""
    put(tools, "npu-smi", f"case $2 in '') tail -n +2 '{DIES}' ;; *) exit 1 ;; esac")
    for pid, parent, line in ((990_700, 1, b"python\0/usr/bin/vllm\0serve\0m\0"), (990_711, 990_700, b"python\0-c\0")):
        process = tmp_path / "proc" / str(pid)
        process.mkdir(parents=True)
        (process / "stat").write_text(f"{pid} (python) S {parent} 1 1 0 -1 0 0 0 0 0\n")
        (process / "cmdline").write_bytes(line)

    snapshot = await run("ascend", sources(settings(tmp_path))["ascend"].look, 5.0)

    assert "1/1" == known(snapshot.facts)[catalog.ASCEND_SERVED].value
    assert (tmp_path / "lock").exists()


async def test_lock_in_the_temporary_folder(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path of its own the lock is in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    put(tools, "npu-smi", "exit 1")

    await run("ascend", sources(settings(tmp_path, lock_file=""))["ascend"].look, 5.0)

    assert (tmp_path / LOCK).exists()


async def test_sophgo_by_its_files(tools: Path, tmp_path: Path) -> None:
    """Where only the driver's files are seen, they are told; where the tool is, both."""
    assert "no tpu-smi here" == sources(settings(tmp_path))["sophgo"].missing
    firmware = tmp_path / "lib/firmware/tpuv7"
    firmware.mkdir(parents=True)
    (firmware / "sc11_config.ini").write_text("scheduler=reuse\n")

    files = await run("sophgo", sources(settings(tmp_path))["sophgo"].look, 5.0)
    put(tools, "tpu-smi", f"echo '{CHIPS}'")
    both = await run("sophgo", sources(settings(tmp_path))["sophgo"].look, 5.0)

    assert ("reuse", None) == (
        known(files.facts)[catalog.SOPHGO_SCHEDULER].value,
        known(files.facts)[catalog.SOPHGO_DEVICES].value,
    )
    assert ("reuse", "1x TPU") == (
        known(both.facts)[catalog.SOPHGO_SCHEDULER].value,
        known(both.facts)[catalog.SOPHGO_DEVICES].value,
    )


async def test_doctor(tools: Path, tmp_path: Path) -> None:
    """The doctor says of each vendor what is listed, what fails, or what would be needed."""
    put(tools, "npu-smi", f"case $2 in '') tail -n +2 '{DIES}' ;; *) exit 1 ;; esac")
    put(tools, "tpu-smi", "exit 255")

    found = {check.name: check async for check in examine(settings(tmp_path))}
    off = {check.name: check async for check in examine(settings(tmp_path, source="off"))}["ascend"]

    assert Check("ascend", works=True, says="npu-smi lists 4x Ascend910") == found["ascend"]
    assert (False, "tpu-smi ends with exit code 255 (no output)") == (
        found["sophgo"].works,
        found["sophgo"].says.partition(": ")[0],
    )
    assert Check("ascend", works=None, says="switched off", add='set [ascend] source = "auto"') == off


def test_old_figures_are_not_shown() -> None:
    """A figure that its source goes on telling is shown for ten minutes; how old it is, always."""
    at = 10_000.0
    who = labels(vendor="ascend", device="0")
    readings = (
        Reading(catalog.DEVICE_POWER, 90.0, at - OLD_FIGURES - 1, who),
        Reading(catalog.DEVICE_TEMPERATURE, 40.0, at - OLD_FIGURES, who),
        Reading(catalog.DEVICE_AGE, OLD_FIGURES + 1, at, who),
    )
    board = Board(Periods(15.0, 60.0, 15.0), lambda: at)
    board.show_node((Snapshot("ascend", at, 0.0, readings),))

    shown = {sample.name for family in board.collect() for sample in family.samples if "accelerator" in sample.name}

    assert {catalog.DEVICE_TEMPERATURE, catalog.DEVICE_AGE} == shown
