"""Running the monitor as users do: as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MONITOR = Path(sys.executable).parent / "monitor"


class Served:
    """A `monitor serve` process; `url` is where it serves, `log` what it wrote so far."""

    def __init__(self, config: Path) -> None:
        command = [str(MONITOR), "serve", "--config", str(config), "--web.listen-address", "127.0.0.1:0"]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())  # noqa: S603 - our own program
        self.log = ""
        self.url = ""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log += line
            if '"serving"' in line:
                self.url = line.split('"address": "')[1].split('"')[0]
                return
        raise AssertionError(f"monitor serve ended: {self.log}")

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait, and give the exit code."""
        self._process.send_signal(number)
        _, rest = self._process.communicate(timeout=20)
        self.log += rest
        return self._process.returncode


@contextmanager
def serve(config: Path) -> Iterator[Served]:
    """Start `monitor serve`, and end it whatever happens."""
    served = Served(config)
    try:
        yield served
    finally:
        if served._process.poll() is None:  # noqa: SLF001 - the same file
            served.end(signal.SIGKILL)


def run(*arguments: str, patience: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, for at most `patience` seconds."""
    command = [str(MONITOR), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False, env=environment())  # noqa: S603 - our own program


def environment() -> dict[str, str]:
    """Give an environment without settings of whoever runs the tests."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MONITOR_")}
