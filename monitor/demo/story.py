"""The demo's story: healthy, captured, a host that drifts while the server gets slower, found, healed, resolved."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from monitor.demo.scene import KNOBS, build, set_governor

PATIENCE = 120.0
"""Seconds within which each act must happen; all of them together take about two minutes."""
SLOWER = 2.0
LOOK_AROUND = 45.0
"""Seconds for which the findings stay, so that a newcomer sees them on the page."""

Tell = Callable[[str], None]


class DemoError(Exception):
    """The demo could not go on; the text says where it stopped."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the running parts are."""

    folder: Path
    server: str
    monitor: str

    def findings(self) -> list[dict[str, Any]]:
        """Give the open findings as the monitor shows them."""
        status = httpx.get(f"{self.monitor}/api/v1/status").json()
        return [finding for target in status["targets"] for finding in target["findings"]]

    def judged(self) -> bool:
        """Tell whether everything is judged now."""
        status = httpx.get(f"{self.monitor}/api/v1/status").json()
        return all(one["ratio"] is not None for target in status["targets"] for one in target["judgements"])

    def turn(self, **knobs: float) -> None:
        """Turn knobs of the simulated server."""
        httpx.post(f"{self.server}/simulate", json=knobs).raise_for_status()


def play(tell: Tell, address: str) -> None:
    """Tell the story, then keep running until interrupted; everything started is ended, whatever happens."""
    began = time.monotonic()

    def say(text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        tell(f"{minutes}:{seconds:02}  {text}")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    with staged(address, say) as stage:
        _acts(stage, say)
        say("that was all; it keeps running until Ctrl-C")
        while True:
            time.sleep(3600)


@contextmanager
def staged(address: str, say: Tell) -> Iterator[Stage]:
    """Start the simulated server, capture a baseline, start the monitor; end them all at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-monitor-demo-")))
        knobs = [word for name, value in KNOBS.items() for word in ("--set", f"{name}={value}")]
        server = stack.enter_context(_running(["simulate", "--listen", "127.0.0.1:0", *knobs], folder, "http://"))
        say(f"a simulated vLLM serves at {server}; npu-smi and tpu-smi are replayed, the host is a folder")
        config = str(build(folder, server))
        say("capturing a baseline while all is well: 30 canaries")
        _run(["baseline", "capture", "good-day", "--requests", "30", "--rate", "10", "--config", config], folder)
        serve = ["serve", "--config", config, "--web.listen-address", address]
        monitor = stack.enter_context(_running(serve, folder, '"address": "'))
        say(f"the monitor serves: open {monitor}/ and {monitor}/metrics")
        yield Stage(folder, server, monitor)


def _acts(stage: Stage, say: Tell) -> None:
    _until(stage.judged, "the first verdict")
    say("all is well: TTFT and TPOT are judged against the baseline")
    set_governor(stage.folder, "powersave")
    stage.turn(slow=SLOWER)
    say(f"a reboot undoes the tuning: cpu.governor performance -> powersave, and the server is {SLOWER} times slower")
    _until(lambda: _open(stage, "regression"), "the regression's finding")
    _until(lambda: _open(stage, "tuning"), "the drift's finding")
    for finding in stage.findings():
        say(f"FOUND {finding['severity']}: {finding['summary']}, since {finding['since_utc']}")
    say(f'on /metrics: vllm_monitor_finding_active{{kind="regression"}} 1; the page says it too: {stage.monitor}/')
    say(f"you have {LOOK_AROUND:.0f} s to look around before somebody mends it")
    time.sleep(LOOK_AROUND)
    set_governor(stage.folder, "performance")
    stage.turn(slow=1.0)
    say("somebody restores the governor; the server is as fast as before")
    _until(lambda: not stage.findings(), "the recovery")
    say("RESOLVED: no open findings")


def _open(stage: Stage, kind: str) -> bool:
    return any(finding["kind"] == kind for finding in stage.findings())


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise DemoError(f"{what} did not come within {PATIENCE:.0f} s; is this machine very busy?")
        time.sleep(0.5)


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "monitor", *arguments]


def _environment(folder: Path) -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith("MONITOR_")}
    return {**own, "PATH": f"{folder / 'bin'}{os.pathsep}{own.get('PATH', '')}"}


def _run(arguments: list[str], folder: Path) -> None:
    ended = subprocess.run(  # noqa: S603 - our own program
        _command(arguments), env=_environment(folder), capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise DemoError(f"monitor {arguments[0]} ended: {ended.stderr.strip() or ended.stdout.strip()}")


@contextmanager
def _running(arguments: list[str], folder: Path, mark: str) -> Iterator[str]:
    """Run one of our own commands until the block ends; gives the address it says it serves at, after `mark`."""
    log = folder / f"{arguments[0]}.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(  # noqa: S603 - our own program
            _command(arguments), env=_environment(folder), stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield _address(process, log, mark)
    finally:
        process.terminate()
        process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, mark: str) -> str:
    def said() -> bool:
        if process.poll() is not None:
            raise DemoError(log.read_text(encoding="utf-8").strip())
        return mark in log.read_text(encoding="utf-8")

    _until(said, "the start")
    rest = log.read_text(encoding="utf-8").partition(mark)[2].split()[0]
    return "http://" + rest.removeprefix("http://").rstrip('",')
