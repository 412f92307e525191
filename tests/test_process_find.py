"""Which process serves an address: by its socket, by its word, or not told at all."""

from pathlib import Path

import pytest
from nodes import Node, serve
from trees import captured, folder_for_all, nobody, plant

from monitor.collect.fetch import LookError
from monitor.collect.process.files import proc
from monitor.collect.process.find import Address, Server, again, find, loads
from monitor.collect.process.scan import command, networks


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def found(node: Node, port: int, *, loopback: bool = True) -> Server:
    return find(node.seen(), Address(port, loopback))


def why(node: Node, port: int, *, loopback: bool = True, uds: str = "") -> str:
    with pytest.raises(LookError) as caught:
        find(node.seen(), Address(port, loopback, uds))
    return str(caught.value)


def test_a_network_is_read_once(node: Node) -> None:
    """Of processes that share a network the table is read once; each other network has its own, a lost one none."""
    node.process(10, *serve(), net=1)
    node.process(20, *serve(), net=1)
    node.process(30, *serve(), net=2)
    node.socket(8000, 1, net=1)
    look = networks(node.seen())
    first = look(10)
    node.socket(8001, 2, net=1)

    assert {8000: {b"1"}} == first == look(20)
    assert {} == look(30) == look(40)


def test_the_holder_of_the_socket(node: Node) -> None:
    """Of several servers on one node it is the one that holds the socket, whatever port its command line names."""
    node.process(10, *serve("--port", "8000"))
    node.process(20, *serve("--port", "8001"))
    node.socket(8000, 1, holder=20)
    node.socket(8001, 2, holder=10)

    assert (20, "listens on port 8000") == (found(node, 8000).process.pid, found(node, 8000).how)
    assert 10 == found(node, 8001).process.pid


def test_found_again(node: Node) -> None:
    """A server that still runs is the same, with the processes that it has now; one that ended is not found again."""
    node.process(10, *serve())
    node.process(11, "VLLM::EngineCore", parent=10)
    node.socket(8000, 1, holder=10)
    first = found(node, 8000)
    node.process(12, "VLLM::Worker_TP0", parent=11)
    second = again(node.seen(), first)
    node.process(10, "/usr/bin/sleep", "9")

    assert second
    assert (first.process, [11, 12], first.how) == (second.process, [one.pid for one in second.family], second.how)
    assert again(node.seen(), second) is None


def test_a_child_may_hold_the_socket(node: Node) -> None:
    """A server whose front end listens for it is the server, and has its children with their roles."""
    node.process(10, *serve())
    node.process(11, "VLLM::APIServer_0", "", parent=10)
    node.process(12, "VLLM::EngineCore_DP0", "", parent=10)
    node.process(13, "llama::Worker_TP0", parent=12)
    node.process(14, "/usr/bin/python3", "-c", "from multiprocessing.resource_tracker import main", parent=10)
    node.process(15, "/usr/bin/python3", "other.py")
    node.socket(8000, 1, holder=11)
    server = found(node, 8000)

    assert (10, [11, 12, 13, 14]) == (server.process.pid, [one.pid for one in server.family])
    assert ([11], [12], [13]) == tuple(
        [one.pid for one in server.of(role)] for role in ("APIServer", "EngineCore", "Worker")
    )


def test_a_program_of_its_own_that_has_engines(node: Node) -> None:
    """A server that another program starts is found by the engine that it has."""
    node.process(10, "/usr/bin/python3", "mine.py")
    node.process(12, "VLLM::EngineCore", parent=10)
    node.socket(8000, 1, holder=10)

    assert 10 == found(node, 8000).process.pid


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "-c", "vllm serve /m --port 8000"),
        ("docker", "run", "image", "vllm", "serve", "/m"),
        ("tini", "--", "vllm", "serve", "/m"),
        ("/usr/bin/python3", "-m", "vllm.entrypoints"),
        ("/usr/bin/python3", "bench.py", "--what", "vllm"),
        ("",),
    ],
)
def test_who_only_speaks_of_a_server_is_none(node: Node, words: tuple[str, ...]) -> None:
    """Shells, wrappers and clients with a server's command line in theirs are no servers."""
    node.process(10, *words)
    node.socket(8000, 1, holder=10)

    assert why(node, 8000).startswith("no vLLM server is seen")


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        (("/usr/bin/python3.11", "-O", "/usr/bin/vllm", "serve", "m", "--x"), ("m", "--x")),
        (("vllm", "serve", "m"), ("m",)),
        (("python", "-m", "vllm.entrypoints.cli.main", "serve", "m"), ("m",)),
        (("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"), ("--model", "m")),
        (("python3", "/src/vllm/entrypoints/openai/api_server.py", "--model", "m"), ("--model", "m")),
        (("vllm", "bench", "serve"), None),
        (("serve",), None),
        ((), None),
    ],
)
def test_command(words: tuple[str, ...], rest: tuple[str, ...] | None) -> None:
    """A server's arguments are what follows the way in which it was started."""
    assert rest == command(words)


def test_by_its_word_where_sockets_are_hidden() -> None:
    """Where open files are hidden, the server whose command line names the port is taken."""
    with folder_for_all() as folder:
        node = Node(folder)
        node.process(10, *serve())
        node.process(20, *serve("--port=8001"))
        node.process(30, *serve("--uds", "/run/vllm.sock"))
        node.socket(8000, 1)
        node.socket(8001, 2)
        node.hide(10, 20, 30)
        with nobody():
            first, second = found(node, 8000), found(node, 8001)

    assert (10, "its command line says port 8000") == (first.process.pid, first.how)
    assert 20 == second.process.pid


def test_a_published_port(node: Node) -> None:
    """A container's port that is published as another one is found where it is the only server of other namespaces."""
    node.process(10, *serve(), net=7)
    node.socket(8000, 1, holder=10, net=7)
    node.process(5, "docker-proxy")
    node.socket(9000, 2, holder=5)
    node.process(20, *serve("--port", "8001"))
    node.socket(8001, 3, holder=20)

    assert 10 == found(node, 9000).process.pid
    node.process(30, *serve(), net=8)
    node.socket(8000, 4, holder=30, net=8)
    assert "2 vLLM servers run here (processes 10, 30)" in why(node, 9000)


def test_a_port_of_another_program(node: Node) -> None:
    """A container's server is not taken for a program of ours that serves the port and is no vLLM server."""
    node.process(10, *serve(), net=7)
    node.socket(8000, 1, holder=10, net=7)
    node.process(20, "/usr/bin/python3", "/usr/bin/monitor", "simulate")
    node.socket(9000, 2, holder=20)

    assert "port 9000 is served by process 20, which is no vLLM server" in why(node, 9000)


def test_the_same_port_in_our_namespace_and_in_another(node: Node) -> None:
    """A loopback address means the server in our own namespace, not one in a container that has the same port."""
    node.process(10, *serve(), net=7)
    node.socket(8000, 1, holder=10, net=7)
    node.process(20, *serve())
    node.socket(8000, 2, holder=20)

    assert 20 == found(node, 8000).process.pid
    assert "2 vLLM servers run here" in why(node, 8000, loopback=False)


def test_another_port_of_our_namespace_is_another_server(node: Node) -> None:
    """A server that listens beside the port in our own namespace is not the one that is asked for."""
    node.process(10, *serve("--port", "8001"))
    node.socket(8001, 1, holder=10)
    node.socket(8000, 2)

    assert "none of the vLLM servers here (process 10) serves port 8000" in why(node, 8000)


def test_a_server_that_loads(node: Node) -> None:
    """A server that does not listen yet is told as such; connections that are no sockets to listen do not count."""
    node.process(10, *serve())
    node.socket(8000, 1, holder=10, state="01")

    assert "runs (process 10) and does not listen yet" in why(node, 8000)


def test_a_server_on_a_socket(node: Node) -> None:
    """A server with a UNIX socket is found by the socket's name, wherever its folder is mounted; never by a port."""
    node.process(10, *serve("--uds", "/run/vllm/a.sock"))
    node.process(20, *serve("--uds=/run/vllm/b.sock"))
    node.process(30, *serve("--port", "no number"))
    node.socket(8000, 1, holder=30)

    assert 20 == find(node.seen(), Address(80, uds="/mnt/b.sock")).process.pid
    assert "--uds /mnt/c.sock" in why(node, 80, uds="/mnt/c.sock")
    assert 30 == found(node, 8000).process.pid


def test_ipv6(tmp_path: Path) -> None:
    """A port that is listened on for IPv6 is found, too."""
    tree = plant(captured("dp2_two-servers_config-file"), tmp_path)

    assert 5000 == find(proc(tree / "proc", tree / "sys"), Address(8000, loopback=True)).process.pid
    assert 6000 == find(proc(tree / "proc", tree / "sys"), Address(8001, loopback=True)).process.pid


def test_parents_that_go_in_circles(node: Node) -> None:
    """A /proc in which numbers were reused while it was read does not hold the look up."""
    node.process(10, "/usr/bin/python3", "a.py", parent=11)
    node.process(11, "/usr/bin/python3", "b.py", parent=10)
    node.process(12, *serve(), parent=11)
    node.socket(8000, 1, holder=12)

    assert 12 == found(node, 8000).process.pid


def loading(node: Node, port: int, *, loopback: bool = True, uds: str = "") -> bool:
    return loads(node.seen(), Address(port, loopback, uds))


def test_a_server_that_does_not_listen_yet_is_loading(node: Node) -> None:
    """A server of this port that runs and does not listen reads its weights; once it listens it does not."""
    node.process(10, *serve("--port", "8000"))
    node.socket(22, 5)
    before = loading(node, 8000)
    node.socket(8000, 1, holder=10)

    assert (True, False) == (before, loading(node, 8000))


def test_another_server_says_nothing_of_this_one(node: Node) -> None:
    """Neither a neighbour that serves nor one that loads for another port makes a dead server one that starts."""
    node.process(20, *serve("--port", "8001"))
    node.process(30, *serve("--port", "8002"))
    node.socket(22, 5)
    node.socket(8001, 2, holder=20)

    assert not loading(node, 8000)


def test_a_server_of_another_namespace_may_be_published_here(node: Node) -> None:
    """In a container of its own a server may come to serve any port."""
    node.process(10, *serve("--port", "8000"), net=1)
    node.socket(22, 5)

    assert loading(node, 9000)


def test_a_server_with_a_socket_loads_until_it_answers(node: Node) -> None:
    """A server that was given a socket is known by the socket's name."""
    node.process(10, *serve("--uds", "/run/a.sock"))

    assert (True, False) == (loading(node, 8000, uds="/mnt/a.sock"), loading(node, 8000, uds="/mnt/b.sock"))
