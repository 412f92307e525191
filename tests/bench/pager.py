"""How long a slowdown takes to reach a person: a real vLLM, Prometheus, Alertmanager and a webhook.

Rules and routes are those that are shipped.

Run it on the machine of a vLLM: python tests/bench/pager.py http://127.0.0.1:8000 PID, with the process that computes
(VLLM::Worker). About twenty minutes, four of them for the baseline. Needs Debian's prometheus and
prometheus-alertmanager.
"""

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, Popen

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from processes import run, serve
from record import paused
from serving import Receiver, receiver

ALERTS = Path(__file__).parents[2] / "alerts"
CONFIG = """
[target.vllm]
url = "{url}"
[canary]
every = "2s"
max_tokens_per_minute = 100000
[alert]
paging = "on"
[tuning]
profiles = []
[store]
url = "sqlite:///{store}"
"""
SCRAPES = """
global: {{scrape_interval: 15s, evaluation_interval: 15s}}
rule_files: ["{rules}"]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{manager}"]}}]}}]}}
scrape_configs:
  - job_name: vllm-monitor
    static_configs: [{{targets: ["{monitor}"]}}]
"""
UNFILLED = """\
    # webhook_configs:
    #   - url: https://example.org/alerts
"""
"""Where alertmanager.yml asks for a receiver: without one it tells nobody."""
PATIENCE = 2400.0
"""Seconds until what is waited for is given up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be asked: the monitor, Prometheus, and what the receiver got."""

    monitor: str
    prometheus: str
    hook: Receiver
    client: httpx.AsyncClient

    async def found(self) -> bool:
        """Whether the monitor has a finding that pages."""
        lines = (await self.client.get(f"{self.monitor}/metrics")).text.splitlines()
        active = [line for line in lines if line.startswith("vllm_monitor_finding_active{")]
        return any('kind="regression"' in line and 'severity="info"' not in line for line in active)

    async def firing(self) -> bool:
        """Whether an alert about a regression fires in Prometheus."""
        alerts = (await self.client.get(f"{self.prometheus}/api/v1/alerts")).json()["data"]["alerts"]
        named = [one for one in alerts if one["labels"]["alertname"].startswith("VllmRegression")]
        return any(one["state"] == "firing" for one in named)

    async def notified(self) -> bool:
        """Whether the receiver was told of trouble."""
        return any(message["status"] == "firing" for message in self.hook.got)

    async def resolved(self) -> bool:
        """Whether the receiver was told that it is over."""
        return any(message["status"] == "resolved" for message in self.hook.got)


def port() -> str:
    """Find a free place to listen on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def started(*command: str) -> Iterator[None]:
    """Run a program meanwhile."""
    process = Popen(command, stdout=DEVNULL, stderr=DEVNULL)  # noqa: S603 - Prometheus and Alertmanager
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@contextmanager
def stack(folder: Path, monitor: str, hook: str) -> Iterator[str]:
    """Run Prometheus and Alertmanager with the files that are shipped; gives Prometheus' URL."""
    prometheus, manager = port(), port()
    scrapes, routes = folder / "prometheus.yml", folder / "alertmanager.yml"
    scrapes.write_text(
        SCRAPES.format(rules=ALERTS / "monitor.rules.yml", manager=manager, monitor=monitor.removeprefix("http://"))
    )
    before, asks, after = (ALERTS / "alertmanager.yml").read_text().partition(UNFILLED)
    assert asks, "alertmanager.yml has another place for a receiver"
    routes.write_text(f"{before}    webhook_configs:\n      - url: {hook}\n{after}")
    with ExitStack() as running:
        for command in (
            ["prometheus-alertmanager", f"--config.file={routes}", f"--storage.path={folder}/alertmanager",
             f"--web.listen-address={manager}", "--cluster.listen-address="],
            ["prometheus", f"--config.file={scrapes}", f"--storage.tsdb.path={folder}/prometheus",
             f"--web.listen-address={prometheus}"],
        ):  # fmt: skip
            running.enter_context(started(*command))
        yield f"http://{prometheus}"


def say(text: str, since: float | None = None) -> None:
    """Print a line with its time, and how many seconds after something that was."""
    after = "" if since is None else f" after {time.time() - since:.0f} s"
    sys.stdout.write(f"{time.strftime('%H:%M:%S', time.gmtime())} {text}{after}\n")
    sys.stdout.flush()


async def until(holds: Callable[[], Awaitable[bool]], *, be: bool = True) -> None:
    """Ask once a second until it is so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await holds() is be:
                    return
            except httpx.TransportError:
                pass  # it starts
            await asyncio.sleep(1.0)


async def told(seen: Seen, worker: int) -> None:
    """Slow the server, heal it, and tell who learnt of it when."""
    await until(seen.firing, be=False)
    await asyncio.sleep(120)
    say(f"two healthy minutes: {len(seen.hook.got)} notifications")
    async with paused(0.030, 0.040)([worker]):
        slowed = time.time()
        say("the worker is paused for 30 ms in every 40 ms")
        await until(seen.found)
        say("the monitor's finding", slowed)
        await until(seen.firing)
        say("Prometheus' alert", slowed)
        await until(seen.notified)
        say("Alertmanager's notification", slowed)
    healed = time.time()
    say("the worker runs again")
    await until(seen.found, be=False)
    say("the monitor's finding is closed", healed)
    await until(seen.firing, be=False)
    say("Prometheus' alert is over", healed)
    await until(seen.resolved)
    say("Alertmanager's notification that it is resolved", healed)


async def main() -> None:
    """Capture a baseline, start everything, tell what happens."""
    parser = argparse.ArgumentParser(description="How long a slowdown takes to reach a person.")
    parser.add_argument("url", help="the vLLM, on this machine")
    parser.add_argument("worker", type=int, help="the number of its process that computes")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "monitor.toml"
        config.write_text(CONFIG.format(url=chosen.url, store=folder / "m.db"), encoding="utf-8")
        captured = run(
            "baseline", "capture", "good", "--requests", "120", "--rate", "0.5", "--config", str(config), patience=900
        )
        say(captured.stdout or captured.stderr)
        async with receiver() as hook, httpx.AsyncClient(trust_env=False) as client:
            with serve(config) as served, stack(folder, served.url, hook.url) as prometheus:
                say(f"Prometheus is at {prometheus}")
                await told(Seen(served.url, prometheus, hook, client), chosen.worker)
            for message in hook.got:
                alerts = [(one["labels"]["alertname"], one["annotations"]["summary"]) for one in message["alerts"]]
                say(f"{message['status']}: {alerts}")


if __name__ == "__main__":
    asyncio.run(main())
