"""Which process serves an address: the one that holds the listening socket or, where that is hidden, says so itself."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename

from monitor.collect.fetch import LookError
from monitor.collect.process.addresses import HOST, Ip, elsewhere
from monitor.collect.process.files import Proc
from monitor.collect.process.scan import Process, Sockets, command, holds, networks, scan

MOST_SERVERS = 16
MOST_STRANGERS = 256
DEFAULT_PORT = 8000
_ELSEWHERE = 'set local = "no" for this target if it runs elsewhere'


@dataclass(frozen=True, slots=True)
class Server:
    """An API server's own process, the processes below it, and how it was found."""

    process: Process
    family: tuple[Process, ...] = ()
    how: str = ""

    def of(self, role: str) -> tuple[Process, ...]:
        """Give its processes of one role."""
        return tuple(one for one in self.family if one.role == role)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached: a port, which may be one of our own network namespace (`loopback`), or a socket.

    `host` is the name or address that tells whose namespace it is; empty where it tells nothing.
    """

    port: int
    loopback: bool = False
    uds: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A server, the port that its command line names (0: it was given a socket), and who listens where it runs."""

    server: Server
    port: int
    look: Callable[[int], Sockets]

    @property
    def sockets(self) -> Sockets:
        return self.look(self.server.process.pid)


def find(proc: Proc, address: Address, ips: Collection[Ip] = ()) -> Server:
    """Find the process that serves an address, whose host stands for `ips`; none where that is not known.

    Raises:
        LookError: there is none, it does not listen yet, or which of several it is cannot be told.
    """
    seen = scan(proc.procfs)
    look = networks(proc)
    candidates = [_candidate(one, seen, look) for one in _api_servers(seen)[:MOST_SERVERS]]
    if not candidates:
        raise LookError(f"no vLLM server is seen in {proc.procfs}: mount the host's /proc there, or {_ELSEWHERE}")
    if address.uds:
        return _by_socket(candidates, address.uds)
    port = address.port
    ours = look("self") if address.loopback else {}
    able = [one for one in candidates if _may_serve(proc, one.server.process, ips)]
    if not able:
        raise LookError(_apart(candidates, ips))
    near = [one for one in able if not elsewhere(proc, one.server.process.pid, ips)]
    for among in (near, [one for one in able if one not in near]):
        likely = [one for one in among if one.port == port]
        if found := _by_port(proc, likely, port, ours) or _by_port(proc, among, port, ours):
            return found
    _refuse_stranger(proc, seen, port, ours)
    return _behind_another_port(able, port, ours) or _none(able, port)


def again(proc: Proc, server: Server, ips: Collection[Ip] = ()) -> Server | None:
    """Give a server that was found before, with the processes that it has now; None where it ended or is elsewhere.

    Who holds the socket is not asked again, which costs as much as all the rest of a look.
    """
    seen = scan(proc.procfs)
    process = seen.get(server.process.pid)
    if process is None or process.started != server.process.started or not _may_serve(proc, process, ips):
        return None
    return Server(process, _family(process, seen), server.how)


def loads(proc: Proc, address: Address, ips: Collection[Ip] = ()) -> bool:
    """Tell whether a server runs that may come to serve an address and does not listen yet: it reads its weights.

    Another server of this node, which listens, says nothing of this one.
    """
    look = networks(proc)
    ours = look("self") if address.loopback else {}
    seen = scan(proc.procfs)
    candidates = [_candidate(one, seen, look) for one in _api_servers(seen)[:MOST_SERVERS]]
    if address.uds:
        return any(basename(_own(one.server.process, "--uds")) == basename(address.uds) for one in candidates)
    silent = [one for one in candidates if one.port and one.port not in one.sockets]
    able = [one for one in silent if _may_serve(proc, one.server.process, ips)]
    return any(one.port == address.port or not _shares(one.sockets, ours) for one in able)


def _may_serve(proc: Proc, process: Process, ips: Collection[Ip]) -> bool:
    """Tell whether a server may be behind the addresses: where it runs is one of them, or one is forwarded to it."""
    return not elsewhere(proc, process.pid, ips) or not elsewhere(proc, HOST, ips)


def _by_socket(candidates: Sequence[_Candidate], uds: str) -> Server:
    """Take the server that was told to listen on a socket of this name; the folder may be mounted elsewhere."""
    named = [one for one in candidates if basename(_own(one.server.process, "--uds")) == basename(uds)]
    if not named:
        raise LookError(f"none of the vLLM servers here (process {_listed(candidates)}) was given --uds {uds}")
    return _only(named, uds, f"its command line says --uds {uds}")


def _by_port(proc: Proc, candidates: Iterable[_Candidate], port: int, ours: Sockets) -> Server | None:
    """Take the server that holds the socket, or else the one whose command line names the port."""
    here = ours.get(port, frozenset())
    near = [one for one in candidates if (inodes := one.sockets.get(port)) and (not here or inodes & here)]
    held = {one.server.process.pid: _holds(proc, one, port) for one in near}
    owners = [one for one in near if held[one.server.process.pid]]
    if owners:
        return _only(owners, port, f"listens on port {port}")
    hidden = [one for one in near if held[one.server.process.pid] is None and one.port == port]
    return _only(hidden, port, f"its command line says port {port}") if hidden else None


def _refuse_stranger(proc: Proc, seen: Mapping[int, Process], port: int, ours: Sockets) -> None:
    """Raise LookError if the port is a program's that is no vLLM server: then no container's is published on it."""
    if here := ours.get(port):
        for one in list(seen.values())[:MOST_STRANGERS]:
            if holds(proc, one.pid, here):
                raise LookError(f"port {port} is served by process {one.pid}, which is no vLLM server: {_ELSEWHERE}")


def _behind_another_port(candidates: Iterable[_Candidate], port: int, ours: Sockets) -> Server | None:
    """Take the only server of other namespaces: a container's port may be published as another."""
    apart = [one for one in candidates if one.port in one.sockets and not _shares(one.sockets, ours)]
    return _only(apart, port, "the only vLLM server here that may be published on this port") if apart else None


def _none(candidates: Sequence[_Candidate], port: int) -> Server:
    loading = [one for one in candidates if one.port and one.port not in one.sockets]
    if loading:
        raise LookError(f"the vLLM server runs (process {_listed(loading)}) and does not listen yet, as while it loads")
    raise LookError(f"none of the vLLM servers here (process {_listed(candidates)}) serves port {port}: {_ELSEWHERE}")


def _apart(candidates: Sequence[_Candidate], ips: Collection[Ip]) -> str:
    where = f"where the target is, at {', '.join(sorted(map(str, ips)))}"
    return f"none of the vLLM servers here (process {_listed(candidates)}) runs {where}: {_ELSEWHERE}"


def _only(found: Sequence[_Candidate], where: int | str, how: str) -> Server:
    if len(found) > 1:
        raise LookError(
            f"{len(found)} vLLM servers run here (processes {_listed(found)}), and which of them serves {where} "
            "cannot be told: let each listen on a port of its own"
        )
    server = found[0].server
    return Server(server.process, server.family, how)


def _listed(found: Iterable[_Candidate]) -> str:
    return ", ".join(str(one.server.process.pid) for one in found)


def _shares(theirs: Sockets, ours: Sockets) -> bool:
    """Tell whether two views of the network are of one namespace: then they show the same sockets."""
    return any(inodes & ours.get(port, frozenset()) for port, inodes in theirs.items())


def _api_servers(seen: Mapping[int, Process]) -> list[Process]:
    """Give the processes with a server's command line, and those without one that have engines as children."""
    found = {pid for pid, one in seen.items() if not one.role and command(one.argv) is not None}
    for one in seen.values():
        parent = seen.get(one.parent)
        if one.role in {"APIServer", "EngineCore"} and parent and not parent.role:
            found.add(parent.pid)
    return [seen[pid] for pid in sorted(found) if not _below(seen[pid], found, seen)]


def _below(process: Process, pids: Collection[int], seen: Mapping[int, Process]) -> bool:
    """Tell whether one of the processes is an ancestor."""
    passed = {process.pid}
    while (parent := seen.get(process.parent)) and parent.pid not in passed:
        if parent.pid in pids:
            return True
        passed.add(parent.pid)
        process = parent
    return False


def _family(process: Process, seen: Mapping[int, Process]) -> tuple[Process, ...]:
    return tuple(one for _, one in sorted(seen.items()) if _below(one, {process.pid}, seen))


def _candidate(process: Process, seen: Mapping[int, Process], look: Callable[[int], Sockets]) -> _Candidate:
    server = Server(process, _family(process, seen))
    if _own(process, "--uds"):
        return _Candidate(server, 0, look)
    port = _own(process, "--port")
    return _Candidate(server, int(port) if re.fullmatch(r"\d{1,5}", port) else DEFAULT_PORT, look)


def _own(process: Process, name: str) -> str:
    """Give the value of one argument of a server; empty if it was not given."""
    found = ""
    words = command(process.argv) or ()
    for word, following in zip(words, (*words[1:], ""), strict=False):
        said, equals, value = word.partition("=")
        if said == name:
            found = value if equals else following
    return found


def _holds(proc: Proc, candidate: _Candidate, port: int) -> bool | None:
    """Tell whether a server or one of its processes has a socket of the port open; None where that is forbidden."""
    inodes = candidate.sockets[port]
    answers = [holds(proc, one.pid, inodes) for one in (candidate.server.process, *candidate.server.family)]
    return True if True in answers else None if None in answers else False
