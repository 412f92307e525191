"""Where the clients that are compared come from, and how they are asked."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from truth import Figures

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "vllm-monitor-bench"
VLLM = Path(os.environ.get("MONITOR_BENCH_VLLM", Path.home() / ".cache" / "vllm-cpu"))
"""An environment that has vLLM; it is used as it is and never made here."""


class AbsentError(Exception):
    """A client cannot be had; the text says why."""


class Child:
    """A process that reads and writes lines of JSON, and ends when its input does. It knows of no proxies."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - ours
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._in.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tell(self, **document: str) -> None:
        """Write a line."""
        self._in.write(json.dumps(document) + "\n")
        self._in.flush()

    def hear(self) -> dict[str, Any]:
        """Wait for a line; raises AbsentError if the process ends instead."""
        line = self._out.readline()
        if not line:
            raise AbsentError(f"its process ended with {self._process.wait()}")
        document: dict[str, Any] = json.loads(line)
        return document


class Truth(Child):
    """The server that knows; serves at `url`."""

    def __init__(self) -> None:
        super().__init__([sys.executable, HERE / "truth.py"])
        self.url: str = self.hear()["url"]

    def of(self, prompt: str) -> Figures:
        """Give the true figures of the last answer to a prompt; a client that failed may have left others unheard."""
        while (heard := self.hear()).pop("prompt") != prompt:
            pass
        return Figures(**heard)


class Worker(Child):
    """A client in a process of its own; raises AbsentError where it cannot be had."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        super().__init__(command)
        heard = self.hear()
        if "error" in heard:
            raise AbsentError(heard["error"])
        self.version: str = heard["version"]

    def ask(self, client: str, prompt: str) -> Figures | str:
        """Ask once; if the client fails, give its words."""
        try:
            self.tell(client=client, prompt=prompt)
            heard = self.hear()
        except (AbsentError, BrokenPipeError) as error:
            return str(error)
        return str(heard["error"]) if "error" in heard else Figures(**heard)


@dataclass(frozen=True, slots=True)
class Seat:
    """One client at the table: how it is called there, and what to ask."""

    name: str
    worker: Worker


NAMES = ("canary", "sockets", "httpx", "guidellm", "vllm", "openai")
"""All clients; the first is ours, the second as good as it gets in Python."""


def worker(name: str, url: str) -> Worker:
    """Start one client; raises AbsentError with the reason why it cannot be had."""
    if name == "canary":
        return Worker([sys.executable, HERE / "ours.py", url])
    return Worker([python(name), HERE / "worker.py", name, url])


def watcher(url: str, watched: Sequence[str]) -> Worker:
    """Start our canary in a process that watches servers."""
    return Worker([sys.executable, HERE / "ours.py", url, *watched])


def python(name: str) -> Path:
    """Give the interpreter of a client's environment; makes it where it must."""
    if name == "vllm":
        found = VLLM / "bin" / "python"
        if not found.exists():
            raise AbsentError(f"no vLLM at {VLLM}: name an environment that has one in MONITOR_BENCH_VLLM")
        return found
    wanted = HERE / f"requirements-{name}.txt"
    return made(name, wanted) if wanted.exists() else Path(sys.executable)


def made(name: str, wanted: Path) -> Path:
    """Make an environment of pinned packages, unless it is there and made of the same ones."""
    folder = CACHE / name
    ready, interpreter = folder / "ready", folder / "bin" / "python"
    if ready.exists() and ready.read_text() == wanted.read_text():
        return interpreter
    make: list[str | Path] = [sys.executable, "-m", "venv", "--clear", folder]
    pip: list[str | Path] = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (make, [*pip, "--no-deps", "-r", wanted]):
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        if ended.returncode:
            raise AbsentError(f"not installed: {ended.stderr.strip().splitlines()[-1]}")
    ready.write_text(wanted.read_text())
    return interpreter
