"""A process counts as a target's only where the target's address is one of the process's network namespace."""

from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Literal

import pytest
from nodes import Node, serve
from trees import put

from monitor.collect.fetch import LookError
from monitor.collect.process.addresses import Ip, resolved
from monitor.collect.process.files import LARGEST
from monitor.collect.process.find import Address, Server, again, find, loads
from monitor.collect.process.look import EVERY, Watch, loading
from monitor.model import Fact
from monitor.parts import others
from monitor.settings import Host, Settings, Target

HOST, INIT = 9, 1
GATEWAY, FIRST, SECOND = "172.18.0.1", "172.18.0.3", "172.18.0.30"
FIRST_6, SECOND_6 = "fd00::3", "fd00::30"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """Give a node whose host, with a gateway, is not our namespace."""
    node = Node(tmp_path)
    node.process(INIT, "/sbin/init", net=HOST)
    node.addresses(HOST, GATEWAY)
    return node


@pytest.fixture
def container(node: Node) -> Node:
    """Give the node a server in a container."""
    return started(node, 10, FIRST, FIRST_6, net=1)


def started(node: Node, pid: int, *ips: str, net: int) -> Node:
    node.process(pid, *serve(), net=net)
    node.socket(8000, pid, holder=pid, net=net)
    node.addresses(net, *ips)
    return node


def ips(*words: str) -> frozenset[Ip]:
    return frozenset(ip_address(word) for word in words)


def found(node: Node, *words: str, port: int = 8000) -> Server:
    return find(node.seen(), Address(port, host="vllm"), ips(*words))


def test_an_unrelated_server_of_the_host(node: Node) -> None:
    """The host's server is not taken for one of the same port in a container, and is where the host is meant."""
    node.process(10, *serve(), net=HOST)
    node.socket(8000, 1, holder=10, net=HOST)

    with pytest.raises(LookError) as caught:
        found(node, FIRST)
    assert (
        "none of the vLLM servers here (process 10) runs where the target is, at 172.18.0.3: "
        'set local = "no" for this target if it runs elsewhere'
    ) == str(caught.value)
    assert 10 == found(node, GATEWAY).process.pid


@pytest.mark.parametrize(("first", "second"), [(FIRST, SECOND), (FIRST_6, SECOND_6)])
def test_containers_with_the_same_port(container: Node, first: str, second: str) -> None:
    """Of containers whose servers listen on one port it is the one that has the address, IPv4 or IPv6."""
    started(container, 20, SECOND, SECOND_6, net=2)

    assert (10, 20) == (found(container, first).process.pid, found(container, second).process.pid)


def test_any_of_a_names_addresses(container: Node) -> None:
    """Of a name with several addresses one suffices."""
    assert 10 == found(container, "10.0.0.1", "fd00::1", FIRST).process.pid


@pytest.mark.parametrize("other", ["172.18.0.0", "172.18.255.255", "172.18.0.4", "72.18.0.3", "fd00::4"])
def test_networks_and_broadcasts_are_no_addresses(container: Node, other: str) -> None:
    """What a namespace only reaches is not its own address."""
    with pytest.raises(LookError, match="runs where the target is, at"):
        found(container, other)


def test_a_published_port(container: Node) -> None:
    """At an address of the host a container's server is found, behind the same port or the only one behind another."""
    assert (10, 10) == (found(container, GATEWAY).process.pid, found(container, GATEWAY, port=9000).process.pid)


def test_the_hosts_own_server_comes_first(container: Node) -> None:
    """At an address of the host its own server of the port is meant, not a container's."""
    container.process(20, *serve(), net=HOST)
    container.socket(8000, 2, holder=20, net=HOST)

    assert 20 == found(container, GATEWAY).process.pid


@pytest.mark.parametrize("ip", ["127.0.1.1", "::1", "0.0.0.0"])  # noqa: S104 - nothing is bound
def test_addresses_of_every_namespace(container: Node, ip: str) -> None:
    """The loopback is in every namespace, and tells none of them apart."""
    assert 10 == found(container, ip).process.pid


def test_what_cannot_be_told_is_no_proof(container: Node, tmp_path: Path) -> None:
    """With no host to ask for, or tables that are hidden or too long to be read whole, a server counts as before."""
    trie = tmp_path / "proc/net1/fib_trie"
    unresolved = found(container)
    put(trie, trie.read_text() + " " * LARGEST)
    long = found(container, SECOND)
    trie.unlink()
    hidden = found(container, SECOND)

    assert [10] * 3 == [one.process.pid for one in (unresolved, long, hidden)]


def test_found_again_only_where_the_address_is(container: Node) -> None:
    """A server that still runs is no longer the target's once the name stands for another address."""
    first = found(container, FIRST)

    assert first == again(container.seen(), first, ips(FIRST))
    assert again(container.seen(), first, ips(SECOND)) is None


def test_a_server_that_loads(node: Node) -> None:
    """A silent server may come to serve its own addresses and those of the host, no others."""
    node.process(10, *serve(), net=1)
    node.addresses(1, FIRST)
    asked = [loads(node.seen(), Address(8000), ips(*at)) for at in ((FIRST,), (GATEWAY,), (), (SECOND,))]

    assert [True, True, True, False] == asked


def test_loading_asks_for_the_address(node: Node, tmp_path: Path) -> None:
    """Whether a server loads is asked with what the target's host stands for."""
    node.process(10, *serve(), net=1)
    node.addresses(1, FIRST)
    asked = [loading(tmp_path / "proc", tmp_path, Address(8000, host=host)) for host in (FIRST, SECOND)]

    assert [True, False] == asked


@pytest.mark.usefixtures("container")
@pytest.mark.parametrize(
    ("host", "local", "serves"),
    [
        (f"[{FIRST_6}]", "auto", "10"),
        (f"[{SECOND_6}]", "auto", None),
        (SECOND, "yes", "10"),
        ("127.0.0.1", "auto", "10"),
    ],
)
async def test_the_host_of_a_targets_url(
    tmp_path: Path, host: str, local: Literal["auto", "yes"], serves: str | None
) -> None:
    """Whose namespace it is, the host in the target's URL says; the loopback does not, and "yes" is not doubted."""
    settings = Settings(host=Host(procfs=tmp_path / "proc", sysfs=tmp_path))
    _, facts = await others(settings, Target(url=f"http://{host}:8000", local=local))["process"](1.0)

    assert serves == process(facts)


def test_a_container_that_comes_back(container: Node, tmp_path: Path) -> None:
    """While a container is stopped, and has no name, no other is taken for it; at another address it is found again."""
    said = [ips(FIRST), ips(), ips(SECOND)]
    watch = Watch(tmp_path / "proc", tmp_path, Address(8000, host="vllm"), lambda _: said[0])
    began = pid(watch)
    container.process(10, "/usr/bin/sleep", "9", net=1)
    container.process(30, *serve(), net=HOST)
    container.socket(8000, 30, holder=30, net=HOST)
    said.pop(0)
    stopped = pid(watch)
    started(container, 20, SECOND, net=2)
    said.pop(0)

    assert ("10", None, "20") == (began, stopped, pid(watch))


@pytest.mark.usefixtures("container")
def test_a_name_that_never_resolved(tmp_path: Path) -> None:
    """A server whose name stands for nothing cannot be reached: no process is its, whatever runs here."""
    watch = Watch(tmp_path / "proc", tmp_path, Address(8000, host="vllm"), lambda _: ips())
    _, facts = watch.look(1.0)

    why = "vllm does not resolve here, so which process serves it cannot be told"
    assert (Fact("process.pid", None, "/proc", why),) == facts


@pytest.mark.usefixtures("container")
def test_what_needs_no_name(tmp_path: Path) -> None:
    """Where no host tells whose namespace it is, nothing need resolve."""
    assert "10" == pid(Watch(tmp_path / "proc", tmp_path, Address(8000), lambda _: ips()))


def pid(watch: Watch) -> str | None:
    """Look until it is a real look."""
    return [process(watch.look(1.0)[1]) for _ in range(EVERY)][-1]


def process(facts: tuple[Fact, ...]) -> str | None:
    return next(fact.value for fact in facts if fact.name == "process.pid")


@pytest.mark.parametrize(("name", "stands"), [(FIRST, {FIRST}), (FIRST_6, {FIRST_6}), ("", set()), ("a..b", set())])
def test_names(name: str, stands: set[str]) -> None:
    """An address stands for itself; what can be no name, or is none, for nothing."""
    assert ips(*stands) == resolved(name)


def test_a_resolver_that_fails() -> None:
    """A name that no resolver knows stands for nothing."""

    def ask(_: str) -> frozenset[Ip]:
        raise OSError

    assert frozenset() == resolved("vllm", ask)


def test_a_resolver_that_hangs() -> None:
    """A resolver that does not answer in time is not waited for."""
    end = Event()

    def ask(_: str) -> frozenset[Ip]:
        end.wait()
        return ips(FIRST)

    late = resolved("vllm", ask, within=0.01)
    end.set()

    assert frozenset() == late
    assert ips(FIRST) == resolved("vllm", ask)
