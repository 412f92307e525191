"""What users of a real vLLM lose to the sidecar: their tokens a second with it and without it, window by window.

Run it with the server's URL: python tests/bench/cost.py http://127.0.0.1:8000. The sidecar has its default settings and
runs all the time; in every other window it is stopped (SIGSTOP), so that both kinds of window meet the same machine.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from processes import Served, serve

STREAMS = 4
WARM_UP = 20.0
"""Seconds in which the sidecar starts, looks for the first time and sends its first canary."""
RESAMPLES = 2000
TOKENS = "vllm:(prompt|generation)_tokens_total"
OURS = "vllm_monitor_canary_tokens_total"


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch of time: users' tokens a second, and what our canaries cost in it."""

    watched: bool
    users: float
    canary: float


async def user(client: httpx.AsyncClient, prompt: str) -> None:
    """Ask for ever, as a user who reads and asks again."""
    body = {"model": "", "prompt": prompt, "max_tokens": 64, "ignore_eos": True, "temperature": 0}
    body["model"] = (await client.get("/v1/models")).json()["data"][0]["id"]
    while True:
        (await client.post("/v1/completions", json=body)).raise_for_status()


async def counted(client: httpx.AsyncClient, url: str, name: str) -> float:
    """Sum a counter's samples."""
    text = (await client.get(url)).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(name + r"[{ ]", line))


async def window(client: httpx.AsyncClient, url: str, served: Served, seconds: float, *, watched: bool) -> Window:
    """Measure one stretch; a stopped sidecar sends nothing, so that nothing has to be asked of it."""
    process = served.pid
    os.kill(process, signal.SIGCONT if watched else signal.SIGSTOP)
    total, ours = f"{url}/metrics", f"{served.url}/metrics"
    began, tokens = time.perf_counter(), await counted(client, total, TOKENS)
    sent = await counted(client, ours, OURS) if watched else 0.0
    await asyncio.sleep(seconds)
    tokens = await counted(client, total, TOKENS) - tokens
    took = time.perf_counter() - began
    sent = await counted(client, ours, OURS) - sent if watched else 0.0
    return Window(watched, (tokens - sent) / took, sent)


async def measure(url: str, rounds: int, seconds: float, served: Served) -> list[Window]:
    """Alternate watched and unwatched windows under the users' load; which comes first is drawn anew each round."""
    rng = random.Random(1)
    windows = []
    async with httpx.AsyncClient(base_url=url, timeout=120.0, trust_env=False) as client, asyncio.TaskGroup() as group:
        users = [group.create_task(user(client, f"user {number} asks:")) for number in range(STREAMS)]
        await asyncio.sleep(WARM_UP)
        for _ in range(rounds):
            for watched in rng.sample([True, False], 2):
                windows.append(await window(client, url, served, seconds, watched=watched))
                sys.stderr.write(f"{'with' if watched else 'without'}: {windows[-1].users:.1f} tokens/s\n")
        for one in users:
            one.cancel()
    os.kill(served.pid, signal.SIGCONT)
    return windows


def lost(windows: list[Window]) -> tuple[float, float, float]:
    """Give the share of users' tokens that is lost, and its 95 % interval by resampling the rounds."""
    pairs = [windows[index : index + 2] for index in range(0, len(windows), 2)]
    ratios = [sum(w.users for w in pair if w.watched) / sum(w.users for w in pair if not w.watched) for pair in pairs]
    rng = random.Random(1)
    drawn = sorted(median(rng.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES))
    return 1 - median(ratios), 1 - drawn[int(0.975 * RESAMPLES)], 1 - drawn[int(0.025 * RESAMPLES)]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "monitor.toml"
        config.write_text(f'[target.real]\nurl = "{chosen.url}"\n[store]\nurl = "sqlite:///{folder}/m.db"\n')
        with serve(config) as served:
            windows = asyncio.run(measure(chosen.url, chosen.rounds, chosen.seconds, served))
    share, low, high = lost(windows)
    table = Table(
        title=f"{STREAMS} users, {chosen.rounds} rounds of {chosen.seconds:g} s each way", title_justify="left"
    )
    table.add_column("what")
    table.add_column("measured", justify="right")
    for watched in (False, True):
        mine = [one.users for one in windows if one.watched is watched]
        table.add_row(f"users' tokens/s {'with' if watched else 'without'} the sidecar", f"{median(mine):.1f}")
    table.add_row("lost (95 % interval)", f"{share:+.2%} ({low:+.2%} to {high:+.2%})")
    hours = sum(chosen.seconds for one in windows if one.watched) / 3600
    table.add_row("canary tokens an hour, in and out", f"{sum(one.canary for one in windows) / hours:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
