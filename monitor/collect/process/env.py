"""The environment of a vLLM server: the variables that the guides name, each with its value, "unset", or unreadable."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from monitor import catalog, guides
from monitor.collect.fetch import LookError
from monitor.collect.process.files import Proc, entry
from monitor.collect.process.find import Server
from monitor.collect.redact import UNSET, clean, shown
from monitor.model import Fact

MOST_PARENTS = 4
EPHEMERAL = {"MASTER_PORT"}
"""Variables that a server sets for its own processes, to another value at each start."""
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ERASED = "overwritten by the server's title (setproctitle), and no process is left that kept it"

Variables = Mapping[str, tuple[str, ...]]
"""Variables with their values; one that is there twice has two, of which the first is in force."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables and the process that has them, which may be another one for some (`later`).

    Where it is not `whole`, what is not there may be set nevertheless.
    """

    pid: int
    variables: Variables
    whole: bool = True
    later: Mapping[str, int] = field(default_factory=dict)

    def get(self, name: str) -> str:
        """Give the value in force; empty if there is none."""
        return self.variables.get(name, ("",))[0]

    def known(self, name: str) -> str:
        """Give the value in force, empty if it is not set; raises LookError where that is not known."""
        if name not in self.variables and not self.whole:
            raise LookError(_ERASED)
        return self.get(name)

    def path(self, name: str) -> str:
        """Say where a variable was read."""
        return f"/proc/{self.later.get(name, self.pid)}/environ"


Inherited = Callable[[], Environment]
"""Gives what a server's processes have, read once for all who ask; raises LookError."""


def own(proc: Proc, server: Server) -> Environment:
    """Give what the server was started with: its own or, where its title has overwritten that, what its parents have.

    Raises LookError where nothing is left.
    """
    pid = server.process.pid
    for _ in range(MOST_PARENTS):
        found, whole = _read(proc, pid)
        if whole:
            return Environment(pid, found, whole=pid == server.process.pid)
        pid = _parent(proc, pid)
        if pid == 0:
            break
    raise LookError(_ERASED)


def inherited(proc: Proc, server: Server) -> Environment:
    """Give what the server's processes have: what it was started with, and what it set itself before it started them.

    Their titles overwrite what the server was started with, and leave what was added since. A helper that the server
    started bears no title, and has all. Raises LookError.
    """
    found = _helper(proc, server) or own(proc, server)
    variables, later = dict(found.variables), dict(found.later)
    for one in (*server.of("EngineCore")[:1], *server.of("Worker")[:1]):
        with suppress(LookError):  # one that just ended
            added = {name: values for name, values in _read(proc, one.pid)[0].items() if name not in EPHEMERAL}
            later |= {name: one.pid for name, values in added.items() if values != variables.get(name)}
            variables |= added
    return Environment(found.pid, variables, found.whole, later)


def facts(server: Server, environment: Inherited) -> Iterator[Fact]:
    """Give the named variables in force, the names of others of the same families, and which are set twice."""
    try:
        found = environment()
    except LookError as error:
        path = f"/proc/{server.process.pid}/environ"
        yield from (Fact(fact, None, path, str(error)) for fact in catalog.PROCESS_ENVIRONMENT)
        return
    for name, fact in catalog.PROCESS_ENV.items():
        yield _variable(fact, found, name, found.variables.get(name, (None,))[0])
    for (name, option), fact in catalog.PROCESS_ENV_OPTION.items():
        yield _variable(fact, found, name, _option(found.get(name), option))
    for fact, text in (
        (catalog.PROCESS_ENV_OTHERS, _others(found.variables)),
        (catalog.PROCESS_ENV_TWICE, _twice(found.variables)),
    ):
        yield _variable(fact, found, "", text or None, nothing="none")


def _helper(proc: Proc, server: Server) -> Environment | None:
    """Give the environment of a process that the server started and that bears no title."""
    for child in server.family:
        if child.parent == server.process.pid and not child.role:
            with suppress(LookError):
                found, whole = _read(proc, child.pid)
                if whole:
                    return Environment(child.pid, found)
    return None


def _read(proc: Proc, pid: int) -> tuple[Variables, bool]:
    """Give a process's environment, and whether it is whole: a title overwrites its beginning with zeros."""
    text = proc.read(pid, "environ")
    found: dict[str, tuple[str, ...]] = {}
    for word in text.split(b"\0"):
        name, equals, value = word.decode(errors="replace").partition("=")
        if equals and _NAME.fullmatch(name):
            found[name] = (*found.get(name, ()), value)
    return found, b"=" in text.partition(b"\0")[0]


def _parent(proc: Proc, pid: int) -> int:
    word = entry(proc.read(pid, "status"), "PPid")
    return int(word) if word.isdecimal() else 0


def _variable(fact: str, found: Environment, name: str, value: str | None, nothing: str = UNSET) -> Fact:
    path = found.path(name)
    if value is not None:
        return Fact(fact, shown(value), path)
    known = found.whole or name in found.variables
    return Fact(fact, nothing, path) if known else Fact(fact, None, path, _ERASED)


def _option(value: str, option: str) -> str | None:
    """Give one option of a value such as "max_split_size_mb:250,expandable_segments:True"."""
    pairs = (part.partition(":") for part in value.split(","))
    return next((said.strip() for key, _, said in pairs if key.strip() == option), None)


def _others(variables: Variables) -> str:
    """Name what else is set of the families that the guides speak of; values are not ours to tell."""
    return " ".join(sorted(name for name in variables.keys() - catalog.PROCESS_ENV if name.startswith(guides.FAMILIES)))


def _twice(variables: Variables) -> str:
    """Give the variables that are there more than once with their values, of which the first is in force."""
    twice = sorted((name, variables[name]) for name in catalog.PROCESS_ENV if len(variables.get(name, ())) > 1)
    return "; ".join(f"{name}={' | '.join(map(clean, values))}" for name, values in twice)
