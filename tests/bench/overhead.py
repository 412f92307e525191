"""What the monitor costs, in one table: `make bench`. A simulated vLLM runs in a process of its own.

Figures of one machine are worth little elsewhere: read the ratios to the peers measured in the same run.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import httpx
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

import collectors
from processes import MONITOR
from world import World, world

from monitor.collect.exposition import parse
from monitor.collect.vllm import figures
from monitor.stats import quantile

LIVE = Path(__file__).parents[1] / "captures" / "vllm" / "v0.32.0-live.txt"
PAGE = 4096
MIB = 2**20


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Give the milliseconds of each round."""
    spans = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spans.append((time.perf_counter() - began) * 1e3)
    return spans


def resident() -> float:
    """Give this process's resident memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / MIB


def bare_imports() -> float:
    """Give the resident memory, in MiB, of a process that only imports the required libraries."""
    code = (
        "import alembic.command, click, fastapi, httpx, prometheus_client, pydantic, rich.table, sqlmodel, structlog,"
        "uvicorn; print(open('/proc/self/statm').read().split()[1])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return int(ended.stdout) * PAGE / MIB


@contextmanager
def simulated() -> Iterator[str]:
    """Run the simulated vLLM in a process of its own."""
    process = subprocess.Popen(  # noqa: S603 - ours
        [str(MONITOR), "simulate", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


async def beats(here: World, count: int) -> list[float]:
    """Give the CPU milliseconds of each beat."""
    spans = []
    for _ in range(count):
        began = time.process_time()
        await here.beat()
        spans.append((time.process_time() - began) * 1e3)
    return spans


async def overhead(url: str, rows: list[tuple[str, str, str, str]]) -> None:
    """Measure a heart in this process."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder) / "m.db", url) as here:
            await here.turn()
            await beats(here, 50)
            cpu, start = await beats(here, 500), resident()
            await beats(here, 500)
            grown = resident() - start
            async with httpx.AsyncClient(base_url=url) as client:
                bare = await scrapes(client, 200)
            render = timed(lambda: generate_latest(here.board.registry), 500)
    rows.append(
        ("a beat without canary, CPU ms, median", "30", f"{median(cpu):.1f}", f"bare scrape {median(bare):.1f}")
    )
    rows.append(("/metrics rendered, ms, p99", "10", f"{quantile(render, 0.99):.1f}", f"median {median(render):.1f}"))
    rows.append(("memory grown over the last 500 of 1,000 beats, MiB", "-", f"{grown:.2f}", ""))


async def scrapes(client: httpx.AsyncClient, count: int) -> list[float]:
    """Give the CPU milliseconds of fetching the whole exposition and doing nothing with it."""
    spans = []
    for _ in range(count):
        began = time.process_time()
        await client.get("/metrics")
        spans.append((time.process_time() - began) * 1e3)
    return spans


def served_memory(url: str) -> float:
    """Give the resident memory, in MiB, of a whole `monitor serve` that has beaten for a while."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "monitor.toml"
        config.write_text(
            f'[target.a]\nurl = "{url}"\n[heartbeat]\nevery = "100ms"\n[canary]\nevery = "500ms"\n'
            f'[store]\nurl = "sqlite:///{folder}/m.db"\n'
        )
        address = "127.0.0.1:0"
        command = [str(MONITOR), "serve", "--config", str(config), "--web.listen-address", address]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
        try:
            time.sleep(15)
            return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * PAGE / MIB
        finally:
            process.terminate()
            process.wait()


def main() -> None:
    """Measure everything and print the table."""
    text = LIVE.read_text()
    ours = timed(lambda: figures.readings(parse(text, figures.WANTED), "0.32.0", 0.0), 300)
    whole = timed(lambda: list(text_string_to_metric_families(text)), 30)
    ratio = f"prometheus_client, whole: {median(whole):.1f} ({median(whole) / median(ours):.0f} times ours)"
    rows = [("0.32 exposition parsed and mapped, ms, median", "3", f"{median(ours):.2f}", ratio)]
    with simulated() as url:
        asyncio.run(overhead(url, rows))
        memory, bare = served_memory(url), bare_imports()
    rows += asyncio.run(collectors.rows())
    rows.append(("resident memory of `monitor serve`, MiB", "-", f"{memory:.0f}", f"bare imports {bare:.0f}"))
    table = Table(box=None)
    for head in ("what", "goal", "measured", "beside it"):
        table.add_column(head, justify="right" if head in {"goal", "measured"} else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
