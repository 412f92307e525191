"""The serving process, as /proc shows it: arguments, environment, libraries, Python, limits. It is only ever read."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.process import arguments, cgroup, env, libraries, limits, packages
from monitor.collect.process.addresses import Ip, resolved
from monitor.collect.process.files import Proc, proc
from monitor.collect.process.find import Address, Server, again, find, loads
from monitor.collect.process.libraries import mapped
from monitor.collect.process.scan import runs, servers
from monitor.model import Fact, Reading

__all__ = ["Address", "Watch", "loading", "servers"]

EVERY = 4
"""Looks of which one really looks, unless the process ended: what it was started with does not change."""

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]


def loading(procfs: Path, sysfs: Path, address: Address) -> bool:
    """Tell whether a server that may come to serve an address runs and does not listen yet."""
    return loads(proc(procfs, sysfs), address, resolved(address.host))


class Watch:
    """Looks at the process that serves one address, now and then and when it ended; one look at a time."""

    def __init__(
        self, procfs: Path, sysfs: Path, address: Address, resolve: Callable[[str], frozenset[Ip]] = resolved
    ) -> None:
        self._roots = procfs, sysfs
        self._address = address
        self._resolve = resolve
        self._ips: frozenset[Ip] = frozenset()
        self._server: Server | None = None
        self._seen: Seen = ((), ())
        self._left = 0

    def look(self, at: float) -> Seen:
        """Give what the process was started with and what it may use.

        Where it cannot be found, that is the one fact there is, unreadable, with what to add.
        """
        if self._left and (self._server is None or runs(self._roots[0], self._server.process)):
            self._left -= 1
            return self._seen
        self._left = EVERY - 1
        here = proc(*self._roots)
        self._ips = self._resolve(self._address.host) or self._ips  # a container that is stopped loses its name
        try:
            self._refuse_nameless()
            known = self._server and again(here, self._server, self._ips)
            self._server = server = known or find(here, self._address, self._ips)
            self._seen = _readings(here, server, at), tuple(_facts(here, server))
        except LookError as error:
            self._server, self._seen = None, ((), (Fact(catalog.PROCESS_PID, None, "/proc", str(error)),))
        return self._seen

    def _refuse_nameless(self) -> None:
        """Raise LookError for a name that never resolved: its server cannot be reached, so any found is another's."""
        if self._address.host and not self._ips:
            raise LookError(f"{self._address.host} does not resolve here, so which process serves it cannot be told")


def _readings(here: Proc, server: Server, at: float) -> tuple[Reading, ...]:
    return (*cgroup.throttled(here, server, at), *limits.swapped(here, server, at))


def _facts(here: Proc, server: Server) -> Iterator[Fact]:
    pid = server.process.pid
    path = f"/proc/{pid}"
    yield Fact(catalog.PROCESS_PID, str(pid), path)
    yield Fact(catalog.PROCESS_FOUND, server.how, path)
    for name, role in (
        (catalog.PROCESS_API_SERVERS, "APIServer"),
        (catalog.PROCESS_ENGINES, "EngineCore"),
        (catalog.PROCESS_WORKERS, "Worker"),
    ):
        yield _count(name, server, role)
    maps, environment = cache(partial(mapped, here)), cache(partial(env.inherited, here, server))
    yield from arguments.facts(here, server)
    yield from env.facts(server, environment)
    yield from libraries.facts(here, server, maps, environment)
    yield from packages.facts(here, server, maps, environment)
    yield from limits.facts(here, server)
    yield from cgroup.facts(here, server)


def _count(name: str, server: Server, role: str) -> Fact:
    """Count the processes of a role; those of a server without titles cannot be told apart."""
    path = f"/proc/{server.process.pid}"
    if not any(one.role for one in server.family):
        return Fact(name, None, path, "needs: vLLM 0.10.1 or newer with setproctitle, for its processes to bear titles")
    count = len(server.of(role))
    return Fact(name, str(count or 1 if role == "APIServer" else count), path)
