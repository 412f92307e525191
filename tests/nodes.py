"""Nodes of a few processes, written as a /proc: who runs in which network, listens there and has which addresses."""

from ipaddress import ip_address
from pathlib import Path

from trees import link, put

from monitor.collect.process.files import Proc, proc

STAT = "{pid} (x y) z) S {parent} 1 1 0 -1 4194560 1 0 0 0 5 2 0 0 20 0 12 0 {pid}" + " 0" * 20
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
ROW = "   0: 00000000:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0\n"
TRIE = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 172.18.0.0
        /16 link UNICAST
     |-- 172.18.255.255
        /32 link BROADCAST
     |-- 127.0.0.1
        /32 host LOCAL
"""
LEAF = "     |-- {ip}\n        /32 link UNICAST\n        /32 host LOCAL\n"


class Node:
    """A node's processes; in network namespaces, which are numbers: 0 is ours."""

    def __init__(self, folder: Path) -> None:
        self._proc = folder / "proc"
        self._listens: dict[int, list[str]] = {}
        put(self._proc / "self/net/tcp", HEAD)

    def process(self, pid: int, *words: str, parent: int = 1, net: int = 0) -> None:
        """Start a process."""
        put(self._proc / f"{pid}/cmdline", "".join(f"{word}\0" for word in words))
        put(self._proc / f"{pid}/stat", STAT.format(pid=pid, parent=parent))
        self._listens.setdefault(net, [])
        link(self._proc / f"{pid}/net", f"../net{net}")
        put(self._proc / f"net{net}/tcp", HEAD + "".join(self._listens[net]))

    def socket(self, port: int, inode: int, holder: int | None = None, net: int = 0, state: str = "0A") -> None:
        """Let a socket listen, in the hands of a process that shows them."""
        self._listens.setdefault(net, []).append(ROW.format(port=port, state=state, inode=inode))
        text = HEAD + "".join(self._listens[net])
        put(self._proc / f"net{net}/tcp", text)
        if net == 0:
            put(self._proc / "self/net/tcp", text)
        if holder is not None:
            link(self._proc / f"{holder}/fd/3", f"socket:[{inode}]")

    def hide(self, *pids: int) -> None:
        """Forbid to see what processes have open."""
        for pid in pids:
            (self._proc / f"{pid}/fd").mkdir(exist_ok=True)
            (self._proc / f"{pid}/fd").chmod(0)

    def addresses(self, net: int, *ips: str) -> None:
        """Give a network its addresses."""
        of_4, of_6 = ([ip_address(ip) for ip in ips if (":" in ip) == six] for six in (False, True))
        put(self._proc / f"net{net}/fib_trie", TRIE + "".join(LEAF.format(ip=ip) for ip in of_4))
        put(self._proc / f"net{net}/if_inet6", "".join(f"{int(ip):032x} 02 40 00 80     eth0\n" for ip in of_6))

    def seen(self) -> Proc:
        """Give it as the collector sees it."""
        return proc(self._proc, self._proc)


def serve(*arguments: str) -> tuple[str, ...]:
    """Give a server's command line."""
    return ("/usr/bin/python3", "/usr/bin/vllm", "serve", "/m", *arguments)
