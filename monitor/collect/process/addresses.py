"""Which addresses a host name stands for, and whether a process runs where one of them is."""

import re
import socket
import threading
from collections.abc import Callable, Collection
from concurrent import futures
from ipaddress import IPv4Address, IPv6Address, ip_address

from monitor.collect.fetch import LookError
from monitor.collect.process.files import LARGEST, Proc

WITHIN = 1.0
"""Seconds that a name's resolution may take."""
HOST = 1
"""The process in whose network namespace the node's own addresses are."""

Ip = IPv4Address | IPv6Address


def ask(name: str) -> frozenset[Ip]:
    """Ask the system for the addresses of a name, as long as it takes; raises OSError, ValueError."""
    answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return frozenset(ip_address(str(where[0]).partition("%")[0]) for *_, where in answers)


def resolved(name: str, ask: Callable[[str], frozenset[Ip]] = ask, within: float = WITHIN) -> frozenset[Ip]:
    """Give the addresses that a name stands for now; none where that is not told within some seconds."""
    if not name:
        return frozenset()
    answer = futures.Future[frozenset[Ip]]()

    def run() -> None:
        try:
            answer.set_result(ask(name))
        except (OSError, ValueError):  # it has none, no resolver answers, or it can be no name
            answer.set_result(frozenset())

    threading.Thread(target=run, name="resolve", daemon=True).start()  # a resolver cannot be told to give up
    try:
        return answer.result(within)
    except TimeoutError:
        return frozenset()


def elsewhere(proc: Proc, pid: int, ips: Collection[Ip]) -> bool:
    """Tell whether none of the addresses is one of a process's network namespace; False where that cannot be told."""
    return bool(ips) and not any(_may_have(proc, pid, ip) for ip in ips)


def _may_have(proc: Proc, pid: int, ip: Ip) -> bool:
    if ip.is_loopback or ip.is_unspecified:
        return True  # every namespace has these
    if ip.version == 4:  # noqa: PLR2004 - IPv4
        name, line = "fib_trie", rf"^ *\|-- {re.escape(str(ip))}\n(?: +/.*\n)*? +/32 host LOCAL"
    else:
        name, line = "if_inet6", f"^{int(ip):032x} "
    try:
        text = proc.read(pid, f"net/{name}")
    except LookError:
        return True
    return len(text) >= LARGEST or re.search(line.encode(), text, re.MULTILINE) is not None
