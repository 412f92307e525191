"""Record how canaries fare on a real vLLM on this machine, healthy for an hour and then harmed in known ways.

Run it as root beside a vLLM on this machine's CPU: python tests/bench/record.py http://127.0.0.1:8000 SERIES.csv.
Two hours. The server and the monitor run at real-time priority, so that nothing else on the machine is in the series.
"""

import argparse
import asyncio
import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from processes import run, serve
from vllm_processes import processes

from monitor.importers.rows import EVENT

CONFIG = """
[target.vllm]
url = "{url}"
[heartbeat]
every = "2s"
[canary]
every = "2s"
max_tokens_per_minute = 100000
[tuning]
profiles = []
[store]
url = "sqlite:///{store}"
"""
HEALTHY, BASELINE_ENDS, FAULT = "healthy", "baseline ends", "fault: "
RUNS_IN = 60.0
"""Seconds at the start that are not recorded: the first requests of a server are slow."""
BUSY = "while True: pass"

Harm = Callable[[Sequence[int]], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time in seconds, named as in the series' column `event`."""

    name: str
    seconds: float
    harm: Harm


def healthy(_server: Sequence[int]) -> AbstractAsyncContextManager[None]:
    """Leave the server alone."""
    return nullcontext()


def paused(down: float, every: float) -> Harm:
    """Stop the process that computes, the last one of the server, for `down` of `every` seconds."""

    async def pause(pid: int) -> None:
        try:
            while True:
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(down)
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(every - down)
        finally:
            os.kill(pid, signal.SIGCONT)

    return lambda server: _meanwhile(lambda: [pause(server[-1])])


def loaded(url: str, streams: int) -> Harm:
    """Keep so many users' requests running."""

    async def user() -> None:
        body = {"model": "tiny", "prompt": "Tell a long story.", "max_tokens": 256, "ignore_eos": True}
        async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
            while True:
                (await client.post("/v1/completions", json=body)).raise_for_status()

    return lambda _server: _meanwhile(lambda: [user() for _ in range(streams)])


@asynccontextmanager
async def hogged(server: Sequence[int]) -> AsyncIterator[None]:
    """Let four processes per CPU compute for nothing, and the server be as unimportant as they are."""
    hogs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(4 * (os.cpu_count() or 1))]  # noqa: ASYNC220, S603 - spinning is its purpose
    ranked(server, os.SCHED_OTHER, 0)
    try:
        yield
    finally:
        ranked(server, os.SCHED_FIFO, 4)
        for hog in hogs:
            hog.kill()
            hog.wait()


@asynccontextmanager
async def _meanwhile(jobs: Callable[[], Sequence[Coroutine[None, None, None]]]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job) for job in jobs()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def plan(url: str) -> Iterator[Phase]:
    """Give what is done to the server, one after the other."""
    yield Phase(HEALTHY, 2700, healthy)
    yield Phase(BASELINE_ENDS, 480, healthy)
    for name, seconds, harm in (
        (FAULT + "worker paused 10 ms in every 50 ms", 720, paused(0.010, 0.050)),
        (FAULT + "worker paused 20 ms in every 60 ms", 540, paused(0.020, 0.060)),
        ("users keep 2 requests running", 240, loaded(url, 2)),
        ("users keep 4 requests running", 240, loaded(url, 4)),
        (FAULT + "four processes per CPU compute for nothing", 540, hogged),
    ):
        yield Phase(name, seconds, harm)
        yield Phase(HEALTHY, 150, healthy)


def ranked(pids: Sequence[int], policy: int, priority: int) -> None:
    """Give every thread of processes a place in the scheduler's order."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


@contextmanager
def undisturbed(server: Sequence[int], monitor: int) -> Iterator[None]:
    """Let the server and the monitor run before all else."""
    ranked(server, os.SCHED_FIFO, 4)
    ranked([monitor], os.SCHED_FIFO, 5)
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(6))
    try:
        yield
    finally:
        ranked(server, os.SCHED_OTHER, 0)


async def carried_out(phases: Sequence[Phase], server: Sequence[int]) -> list[tuple[float, str]]:
    """Do what is planned, and tell when each phase began."""
    began = []
    for phase in phases:
        began.append((time.time(), phase.name))
        sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {phase.name}\n")
        sys.stdout.flush()
        async with phase.harm(server):
            await asyncio.sleep(phase.seconds)
    return began


def told(path: Path, began: Sequence[tuple[float, str]]) -> None:
    """Put what happened between a series' rows, and leave out what was before."""
    with path.open(newline="", encoding="utf-8") as lines:
        sheet = csv.DictReader(lines)
        names = [*(sheet.fieldnames or ()), EVENT]
        rows = [row for row in sheet if float(row["at"]) >= began[0][0]]
    rows.extend({"at": str(at), EVENT: name} for at, name in began)
    rows.sort(key=lambda row: float(row["at"]))
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> int:
    """Record one series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the vLLM, on this machine")
    parser.add_argument("series", type=Path, help="the file to write")
    parser.add_argument("--pace", type=float, default=1.0, help="how much of the time each phase gets; default 1")
    chosen = parser.parse_args()
    found = processes()
    server = [found[name] for name in ("vllm", "VLLM::EngineCor", "VLLM::Worker") if name in found]
    phases = [Phase(each.name, each.seconds * chosen.pace, each.harm) for each in plan(chosen.url)]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "monitor.toml")
        config.write_text(CONFIG.format(url=chosen.url, store=Path(folder, "m.db")), encoding="utf-8")
        with serve(config) as served, undisturbed(server, served.pid):
            time.sleep(RUNS_IN * chosen.pace)
            began = asyncio.run(carried_out(phases, server))
        made = run("backtest", "--last", "1d", "--baseline-until", str(began[1][0]), "--config", str(config),
                   "--csv", str(chosen.series))  # fmt: skip
    sys.stdout.write(made.stdout + made.stderr)
    told(chosen.series, began)
    return made.returncode


if __name__ == "__main__":
    sys.exit(main())
