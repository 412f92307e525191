"""The promises against a real vLLM at MONITOR_TEST_VLLM_URL; its worker must run on this machine.

Waiting here is real time: a real server is slowed by pausing its worker, and must be found out and forgiven.
"""

import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from processes import Served, run, serve
from prometheus_client.parser import text_string_to_metric_families
from serving import receiver
from vllm_processes import processes, worker

from monitor.collect.vllm.figures import DIRECT, PREFIX, figures

pytestmark = pytest.mark.real_vllm

URL = os.environ.get("MONITOR_TEST_VLLM_URL", "")
CONFIG = """
[target.real]
url = "{url}"
[heartbeat]
every = "1s"
[canary]
every = "1s"
max_tokens_per_minute = 100000
[alert]
paging = "on"
opens_after = "20s"
[tuning]
profiles = []
[alert.sink.team]
kind = "webhook"
url = "{hook}"
[store]
url = "sqlite:///{store}"
"""


def say(text: str) -> None:
    """Print a line of the story with its time, for the record of the run."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}\n")


def exposition(text: str) -> dict[tuple[str, str], float]:
    """Give samples by name and engine."""
    return {
        (sample.name, sample.labels.get("engine", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_look_equals_vllm() -> None:
    """Every metric of the contract that this vLLM can give is given, and equals vLLM's own at that moment."""
    looked = json.loads(run("look", "--only", "vllm", "--target", URL, "--json").stdout)
    own = exposition(httpx.get(f"{URL}/metrics").text)
    seen = {
        (reading["metric"], reading["labels"].get("engine", "")): reading["value"]
        for reading in looked["snapshots"][0]["readings"]
    }

    for figure in (*DIRECT, *(figure for quantity in PREFIX for figure in figures(quantity))):
        sample = next((sample for sample in figure.samples if (sample, "0") in own), None)
        if sample:
            say(f"{figure.metric} = {seen[figure.metric, '0']!r} ({sample})")
            assert own[sample, "0"] == seen[figure.metric, "0"]


def test_canary() -> None:
    """Probes of a real server succeed and cost what the profile says."""
    probes = json.loads(run("canary", "--target", URL, "--requests", "10", "--json").stdout)["probes"]

    assert {("ok", 16)} == {(probe["outcome"], probe["output_tokens"]) for probe in probes}
    assert max(probe["prompt_tokens"] for probe in probes) <= 64
    assert all(0 < probe["tpot_seconds"] < probe["ttft_seconds"] for probe in probes[-3:])


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def paging(findings: list[str]) -> bool:
    """Tell whether one of the open findings pages."""
    return any('severity="info"' not in line for line in findings)


@asynccontextmanager
async def slowed(pid: int) -> AsyncIterator[None]:
    """Pause a process for 25 ms in every 40 ms."""

    async def pause() -> None:
        try:
            while True:
                os.kill(pid, signal.SIGSTOP)
                await anyio.sleep(0.025)
                os.kill(pid, signal.SIGCONT)
                await anyio.sleep(0.015)
        finally:
            os.kill(pid, signal.SIGCONT)

    async with anyio.create_task_group() as group:
        group.start_soon(pause)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


async def until(served: Served, holds: Callable[[list[str]], bool], patience: float) -> list[str]:
    """Scrape once a second until the open findings are what is waited for."""
    async with httpx.AsyncClient() as client:
        with anyio.fail_after(patience):
            while True:
                text = (await client.get(f"{served.url}/metrics")).text
                lines = [line for line in text.splitlines() if line.startswith("vllm_monitor_finding_active{")]
                if holds(lines):
                    return lines
                await anyio.sleep(1.0)


async def test_story(tmp_path: Path) -> None:
    """A real server slowed is found and told of once, across kill -9; healed, it is resolved; nothing else opens."""
    async with receiver() as hook:
        path = tmp_path / "monitor.toml"
        path.write_text(CONFIG.format(url=URL, hook=hook.url, store=tmp_path / "m.db"))
        captured = run("baseline", "capture", "good", "--requests", "120", "--rate", "2", "--config", str(path))
        say(captured.stdout)
        assert 0 == captured.returncode, captured.stderr

        with serve(path) as served:
            await anyio.sleep(30)
            assert [] == await until(served, lambda _lines: True, 5)
            async with slowed(worker()):
                say("slowed")
                opened = await until(served, paging, 400)
                say(f"open: {opened}")
                served.end(signal.SIGKILL)
                say("killed")
            say("back to speed")
            killed_log = served.log

        with serve(path) as again:
            first = await until(again, lambda _lines: True, 5)
            say(f"restarted with {len(first)} open findings")
            assert paging(first)
            await until(again, lambda lines: not lines, 400)
            say("resolved")
            await anyio.sleep(20)
            assert [] == await until(again, lambda _lines: True, 5)
            assert 0 == again.end()

        for message in hook.got:
            say(json.dumps(message, ensure_ascii=False))
        assert ["firing", "resolved"] == [message["status"] for message in hook.got]
        assert "internal error" not in killed_log + again.log


async def test_hung(tmp_path: Path) -> None:
    """An engine that stands still is hung within three canaries, while /health answers 200; moving again ends it."""
    path = tmp_path / "monitor.toml"
    quick = CONFIG.replace('every = "1s"\nmax', 'every = "1s"\ntimeout = "5s"\nmax').replace('"20s"', '"5s"')
    path.write_text(quick.format(url=URL, hook="http://127.0.0.1:9/hook", store=tmp_path / "m.db"))
    async with httpx.AsyncClient() as client:
        with serve(path) as served:
            await anyio.sleep(15)
            before = await failures(client, served)
            with stopped(processes()["VLLM::EngineCor"]):
                say("engine stopped")
                lines = await until(served, lambda lines: any("hung" in line for line in lines), 60)
                say(f"open: {lines}")
                probes = await failures(client, served) - before
                assert 200 == (await client.get(f"{URL}/health")).status_code
                say(f"found after {probes:.0f} canaries; /health answers 200")
                assert probes <= 3
            await until(served, lambda lines: not any("hung" in line for line in lines), 60)
            say("engine goes on: resolved")


async def failures(client: httpx.AsyncClient, served: Served) -> float:
    """Count the canaries that failed so far."""
    text = (await client.get(f"{served.url}/metrics")).text
    counts = [line for line in text.splitlines() if line.startswith("vllm_monitor_canary_failures_total{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in counts)
