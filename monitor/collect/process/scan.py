"""The processes of this node as any user sees them: command lines, parents, and who listens where."""

import os
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename

from monitor.collect.process.files import Proc, read

MOST_PROCESSES = 8192
"""Processes whose command lines are read at most in one look, those with the highest numbers."""
MOST_DESCRIPTORS = 4096
MOST_SOCKETS = 4096
LONGEST_LINE = 1 << 17

# The API server keeps its command line; engines and workers call themselves VLLM::..., set from 0.10.1 on.
_SERVER = re.compile(r"^VLLM::|(?:^|[/ ])vllm serve\b|\bvllm\.entrypoints\.")
_TITLE = re.compile(r"[\w.-]+::(APIServer|DPCoordinator|EngineCore|Worker)(?![a-z])")
_INTERPRETER = re.compile(r"(?:python|pypy)[\d.]*[a-z]?|vllm")
_OPTIONS_OF_PYTHON = 12
_LISTENS = b"0A"
_COLUMNS = 10

Sockets = Mapping[int, frozenset[bytes]]
"""Ports that are listened on, each with the inodes of its sockets."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `started` is in clock ticks since boot, which tells it from a later one of the same number."""

    pid: int
    parent: int
    started: int
    argv: tuple[str, ...]

    @property
    def role(self) -> str:
        """What it calls itself: APIServer, DPCoordinator, EngineCore, Worker, or nothing."""
        match = _TITLE.match(self.argv[0]) if self.argv else None
        return match[1] if match else ""


def servers(procfs: Path) -> Iterator[int]:
    """Give the process ids of vLLM servers, engines and workers; a /proc that cannot be read shows none."""
    for pid in _pids(procfs):
        line = b" ".join(_words(procfs, pid)).decode(errors="replace")
        if _SERVER.search(line):
            yield pid


def scan(procfs: Path) -> dict[int, Process]:
    """Give the processes that may belong to a server: Python's, and those that bear a title."""
    seen = {}
    for pid in _pids(procfs):
        words = _words(procfs, pid)
        name = words[0].rpartition(b"/")[2] if words else b""
        if name.startswith((b"python", b"pypy", b"vllm")) or b"::" in name:
            with suppress(OSError, ValueError):
                argv = tuple(word.decode(errors="replace") for word in words)
                seen[pid] = Process(pid, *_origin(procfs, pid), argv)
    return seen


def runs(procfs: Path, process: Process) -> bool:
    """Tell whether a process still is the one that was seen."""
    with suppress(OSError, ValueError):
        return _origin(procfs, process.pid)[1] == process.started
    return False


def command(argv: Sequence[str]) -> tuple[str, ...] | None:
    """Give the arguments of a vLLM API server's command line; None where it is none."""
    if not argv or not _INTERPRETER.fullmatch(basename(argv[0])):
        return None
    for at, (word, following) in enumerate(zip(argv[:_OPTIONS_OF_PYTHON], [*argv[1:], ""], strict=False)):
        rest = tuple(argv[at + 2 :])
        if basename(word) == "vllm" and following == "serve":
            return rest
        if word == "-m" and following.startswith("vllm.entrypoints."):
            return rest[1:] if rest[:1] == ("serve",) else rest
        if word.endswith("/vllm/entrypoints/openai/api_server.py"):
            return tuple(argv[at + 1 :])
    return None


def stat(text: bytes) -> list[bytes]:
    """Give the words of a stat file from the state on; raises ValueError where there are too few."""
    words = text.rpartition(b")")[2].split()  # the name before it may hold anything
    if len(words) < 39:  # noqa: PLR2004 - up to the scheduling policy, see proc_pid_stat(5)
        raise ValueError("a stat file with too few words")
    return words


def networks(proc: Proc) -> Callable[[int | str], Sockets]:
    """Give the question who listens where a process runs.

    The table of a network namespace is read once, however many processes share it: reading it costs milliseconds where
    the kernel's is large.
    """
    tables: dict[Hashable, Sockets] = {}

    def look(pid: int | str) -> Sockets:
        namespace = _namespace(proc, pid)
        if namespace not in tables:
            tables[namespace] = listening(proc, pid)
        return tables[namespace]

    return look


def _namespace(proc: Proc, pid: int | str) -> Hashable:
    """Tell network namespaces apart without a right to see into them: each has a table of its own in /proc."""
    with suppress(OSError):
        table = (proc.procfs / str(pid) / "net" / "tcp").stat()
        return table.st_dev, table.st_ino
    return pid


def listening(proc: Proc, pid: int | str) -> Sockets:
    """Give the ports listened on in a process's network namespace; none if that cannot be read."""
    found: dict[int, set[bytes]] = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError), (proc.procfs / str(pid) / "net" / name).open("rb") as lines:
            next(lines, None)  # the head
            for _, line in zip(range(MOST_SOCKETS), lines, strict=False):
                words = line.split(None, _COLUMNS)
                if len(words) < _COLUMNS or words[3] != _LISTENS:
                    break  # the kernel lists those that listen first
                with suppress(ValueError):
                    found.setdefault(int(words[1].rpartition(b":")[2], 16), set()).add(words[9])
    return {port: frozenset(inodes) for port, inodes in found.items()}


def holds(proc: Proc, pid: int, inodes: frozenset[bytes]) -> bool | None:
    """Tell whether a process has one of the sockets open; None where that is forbidden."""
    wanted = {f"socket:[{inode.decode(errors='replace')}]" for inode in inodes}
    folder = f"{proc.procfs}/{pid}/fd"
    try:
        names = sorted(os.listdir(folder), key=len)[:MOST_DESCRIPTORS]  # noqa: PTH208 - names, no paths: there are many
        return any(_target(f"{folder}/{name}") in wanted for name in names)
    except PermissionError:
        return None
    except OSError:
        return False


def _target(descriptor: str) -> str:
    """Read what a descriptor stands for; nothing if it was closed meanwhile."""
    try:
        return os.readlink(descriptor)  # noqa: PTH115 - it leads to no path
    except FileNotFoundError:
        return ""


def _pids(procfs: Path) -> list[int]:
    try:
        found = [int(name) for name in os.listdir(procfs) if name.isascii() and name.isdigit()]  # noqa: PTH208 - names
    except OSError:
        return []
    return sorted(found, reverse=True)[:MOST_PROCESSES]


def _words(procfs: Path, pid: int) -> list[bytes]:
    try:
        return read(f"{procfs}/{pid}/cmdline", LONGEST_LINE).removesuffix(b"\0").split(b"\0")
    except OSError:
        return []  # it ended while we looked


def _origin(procfs: Path, pid: int) -> tuple[int, int]:
    """Give the parent and the start of a process; raises OSError, ValueError."""
    words = stat(read(f"{procfs}/{pid}/stat", LONGEST_LINE))
    return int(words[1]), int(words[19])
