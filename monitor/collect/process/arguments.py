"""A vLLM server's arguments as facts: those that the guides name, and a digest by which a change of any is seen."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process.files import Proc
from monitor.collect.process.find import Server
from monitor.collect.process.given import Values, configured, parse
from monitor.collect.process.scan import command
from monitor.collect.process.tree import tree
from monitor.collect.redact import UNSET, clean, compact, digest, is_secret, shown
from monitor.model import Fact

_NESTED = "more than one line in the file that --config names: give it as JSON in one line, or on the command line"
_UNKNOWN = "no command line of a `vllm serve`: this server is started by a program of its own"


@dataclass(frozen=True, slots=True)
class _Given:
    """Arguments with their values (None: unreadable), and why what is missing here is not known to be unset."""

    path: str
    values: Mapping[str, Values | None]
    why: str = ""


def facts(proc: Proc, server: Server) -> Iterator[Fact]:
    """Give the named arguments, the names of the others, and a digest of all; never a secret's value."""
    given = _given(proc, server)
    for name, fact in catalog.PROCESS_ARG.items():
        yield _argument(fact, given, name)
    for (name, key), fact in catalog.PROCESS_ARG_KEY.items():
        yield _key(fact, given, name, key)
    nested = _NESTED if None in given.values.values() else ""
    others = sorted(given.values.keys() - catalog.PROCESS_ARG.keys())
    yield _known(catalog.PROCESS_ARGUMENTS_OTHERS, shown(" ".join(others) or "none"), given.path, given.why)
    yield _known(catalog.PROCESS_ARGUMENTS, _digest(given.values), given.path, given.why or nested)


def _given(proc: Proc, server: Server) -> _Given:
    """Read the command line, and the file that it names with --config; what stands on the command line counts."""
    pid = server.process.pid
    path = f"/proc/{pid}/cmdline"
    words = command(server.process.argv)
    if words is None:
        return _Given(path, {}, _UNKNOWN)
    given = parse(words)
    if "config" not in given:
        return _Given(path, given)
    try:
        named = " ".join(given["config"])
        text = tree(proc, pid).read(named if named.startswith("/") else f"{proc.link(pid, 'cwd')}/{named}")
    except LookError as error:
        return _Given(path, given, f"may be in the file that --config names: {error}")
    return _Given(path, {**configured(text.decode(errors="replace")), **given})


def _argument(fact: str, given: _Given, name: str) -> Fact:
    values = given.values.get(name, (UNSET,))
    if values is None:
        return Fact(fact, None, given.path, _NESTED)
    if name not in given.values:
        return _known(fact, UNSET, given.path, given.why)
    return Fact(fact, shown(" ".join(values)), given.path)


def _key(fact: str, given: _Given, name: str, key: str) -> Fact:
    """Give one key of an argument that is JSON."""
    whole = _argument(fact, given, name)
    values = given.values.get(name)
    if values is None:
        return whole
    try:
        document = json.loads(" ".join(values))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or key not in document:
        return Fact(fact, UNSET, given.path)
    value = document[key]
    return Fact(fact, shown(value if isinstance(value, str) else compact(value)), given.path)


def _known(fact: str, value: str, path: str, why: str) -> Fact:
    """Give what holds only if all arguments are known."""
    return Fact(fact, None, path, why) if why else Fact(fact, value, path)


def _digest(given: Mapping[str, Values | None]) -> str:
    """Stand for all arguments; of secrets it only counts that they are given."""
    lines = (f"{name} {'' if is_secret(name) else clean(' '.join(values or ()))}" for name, values in given.items())
    return digest("\n".join(sorted(lines)))
