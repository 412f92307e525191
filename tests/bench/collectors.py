"""What all collectors of a beat cost us, with every source there is: 16 NPUs, 8 GPUs, Sophgo, a server and its process.

The vendors' tools are scripts that print captures, and the server is a process of its own: their time is not ours, and
is not counted. What is counted is this process, all its threads, by the kernel's clock for that.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median

from monitor.collect.registry import Look, run
from monitor.collect.vllm import look as vllm
from monitor.parts import client, node_looks, others
from monitor.settings import Ascend, Settings, Target

CAPTURES = Path(__file__).parents[1] / "captures"
LOG = (CAPTURES / "vllm_log" / "log_v0.32.0-live.txt").read_text().splitlines(keepends=True)
GPUS = 8
CADENCE = 4
"""Beats in which every collector did each thing once: some do not do all of it each time."""
ROUNDS = 12
LIMIT = 12.0
GOAL = "60"
ABOUT = {"ascend": "npu-smi, 16 NPUs", "nvidia": f"{GPUS} GPUs", "process": "a Python process"}
# What npu-smi is asked, as a shell's patterns, and the captures that answer.
_NPUS = {
    "info": "info_910B2C_24.1.rc1_16npu_busy_ray-procs",
    "*common*": "info-t-common-i0_910(32GB)_mcu-block",
    "*usages*": "info-t-usages-i0_910B_25.5.1_aivector-aicube",
    "*ecc*": "info-t-ecc-i_doc",
}

Row = tuple[str, str, str, str]


async def rows() -> list[Row]:
    """Measure: all collectors at once, then each alone."""
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as where:
        folder = Path(name)
        replay(folder)
        log = folder / "log"
        log.write_text("".join(LOG))
        target = Target(url=f"http://{where}", mlnode_url=f"http://{where}", log_file=str(log))
        settings = Settings(target={"a": target}, ascend=Ascend(lock_file=str(folder / "lock")))
        async with client(target) as connection:
            server = {"vllm": vllm.Server(connection).look, **others(settings, target)}
            looks = {**server, **node_looks(settings)}
            first, *spans = await beats(looks, log)
            table = [row("all collectors of a beat", GOAL, spans, f"; the first beat {first:.0f}")]
            for source, look in looks.items():
                what = f"- {source}{f' ({ABOUT[source]})' if source in ABOUT else ''}"
                table.append(row(what, f"{GOAL} in all", await beats({source: look}, log)))
    return table


def row(what: str, goal: str, spans: list[float], more: str = "") -> Row:
    """Give the dearest beat of each round, by the median of rounds, and beside it what a beat costs on average."""
    dearest = median(max(spans[at : at + CADENCE]) for at in range(0, len(spans) - CADENCE + 1, CADENCE))
    return f"{what}, CPU ms, dearest of {CADENCE} beats", goal, f"{dearest:.1f}", f"on average {mean(spans):.1f}{more}"


async def beats(looks: Mapping[str, Look], log: Path) -> list[float]:
    """Give the CPU milliseconds of each beat; no look may fail."""
    spans = []
    for _ in range(ROUNDS * CADENCE):
        with log.open("a") as server:
            server.write(LOG[-1])
        began = time.process_time()
        seen = await asyncio.gather(*(run(source, look, LIMIT) for source, look in looks.items()))
        spans.append((time.process_time() - began) * 1e3)
        assert [] == [(one.source, one.error) for one in seen if one.error]
    return spans


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Run the server that is looked at; gives its host and port."""
    script = folder / "vllm"
    script.symlink_to(Path(__file__).with_name("captured.py"))
    process = subprocess.Popen([sys.executable, str(script), "serve", "tiny"], stdout=subprocess.PIPE, text=True)  # noqa: S603 - ours
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def replay(folder: Path) -> None:
    """Put the vendors' tools on our PATH: scripts that print what such a tool once printed."""
    gpu = (CAPTURES / "nvidia" / "h100x4_590_busy_capped.txt").read_text().splitlines()[1].removeprefix("0")
    (folder / "gpus").write_text("".join(f"{index}{gpu}\n" for index in range(GPUS)))
    npus = "".join(f'{asked}) exec tail -n +2 "{CAPTURES}/ascend/{name}.txt";;\n' for asked, name in _NPUS.items())
    tools = {
        "npu-smi": f'case "$*" in\n{npus}*) exit 2;;\nesac',
        "nvidia-smi": f'exec cat "{folder}/gpus"',
        "tpu-smi": f'exec tail -n +2 "{CAPTURES}/sophgo/tpu-smi_json_SC11-2chip_EXTRAPOLATED.json.txt"',
    }
    for name, does in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
