"""Another process's files: links stay inside its root, only plain files are opened, refusals say what to add."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import captured, folder_for_all, link, nobody, plant, put

from monitor.collect.fetch import LookError
from monitor.collect.process.files import Proc, proc
from monitor.collect.process.look import Address, Watch
from monitor.collect.process.tree import AbsentError, Tree, tree

ADDRESS = Address(8000, loopback=True)
PRIVATE = ("environ", "maps", "numa_maps", "fd", "root")


def why(ask: Callable[[], object]) -> str:
    with pytest.raises(LookError) as caught:
        ask()
    return str(caught.value)


@pytest.fixture
def files(tmp_path: Path) -> Tree:
    put(tmp_path / "top/etc/name", "inside")
    put(tmp_path / "etc/name", "outside")
    return Tree(str(tmp_path / "top"))


@pytest.mark.parametrize(
    ("target", "path", "expected"),
    [
        ("/etc/name", "/link", "/etc/name"),
        ("etc/name", "/link", "/etc/name"),
        ("../../../etc/name", "/a/link", "/etc/name"),
        ("/etc", "/link/name", "/etc/name"),
        ("/etc/../etc/./name", "/link", "/etc/name"),
        ("/nowhere", "/link/name", "/nowhere/name"),
    ],
)
def test_links_stay_inside(target: str, path: str, expected: str, files: Tree, tmp_path: Path) -> None:
    """Absolute links begin at the process's root, and no number of steps upwards leads out of it."""
    link(tmp_path / ("top/a/link" if path.startswith("/a/") else "top/link"), target)

    assert expected == files.real(path)
    if expected == "/etc/name":
        assert b"inside" == files.read(path)


@given(parts=st.lists(st.sampled_from(["..", ".", "", "etc", "name", "x"]), max_size=20))
def test_no_path_leads_out(parts: list[str]) -> None:
    """Whatever a path is made of, what it leads to is below the root."""
    assert ".." not in Tree("/nowhere").real("/".join(parts)).split("/")


def test_links_without_end(files: Tree, tmp_path: Path) -> None:
    """Links that lead to each other are told, and do not hold the look up."""
    link(tmp_path / "top/a", "/b")
    link(tmp_path / "top/b", "/a")

    assert "/a/x: too many links" == why(lambda: files.read("/a/x"))


def test_only_plain_files_are_opened(files: Tree, tmp_path: Path) -> None:
    """A pipe, a socket, a device or a folder in the place of a file is left alone: opening it could do something."""
    os.mkfifo(tmp_path / "top/pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "top/socket"))
    for name in ("pipe", "socket", "etc"):
        assert f"/{name} cannot be read: no plain file" == why(lambda name=name: files.read(f"/{name}"))  # type: ignore[misc]


def test_reads_are_bounded(files: Tree, tmp_path: Path) -> None:
    """No more is read of a file than was asked for."""
    put(tmp_path / "top/long", "x" * 200_000)

    assert 70_000 == len(files.read("/long", 70_000))


def test_what_is_not_there(files: Tree) -> None:
    """That there is no such file is known, and no failure; a folder without rights is one."""
    assert (False, True) == (files.has("/etc/other"), files.has("/etc/name"))
    assert "no /etc/name/x" == why(lambda: files.names("/etc/name/x"))
    with pytest.raises(AbsentError):
        files.read("/other")


def test_what_may_not_be_read() -> None:
    """A file without rights says which one, and whose."""
    with folder_for_all() as folder:
        put(folder / "private/name", "x")
        link(folder / "link", "/private/name")
        (folder / "private").chmod(0)
        with nobody():
            said = why(lambda: Tree(str(folder)).read("/link"))
        (folder / "private").chmod(0o755)

    assert "needs: the right to read /private/name (its owner's uid, or DAC_READ_SEARCH)" == said


PTRACE, READ = 0x80000, 0x4
HELP = "(docs/install.md, level process facts)"


@pytest.mark.parametrize(
    ("uid", "capabilities", "owner", "expected"),
    [
        (0, PTRACE, 0, "a security module forbids it; on the monitor, security_opt apparmor=unconfined"),
        (0, 0, 0, f"the capability SYS_PTRACE {HELP}"),
        (0, PTRACE | READ, 1000, "a security module forbids it; on the monitor, security_opt apparmor=unconfined"),
        (0, PTRACE, 1000, f"the capability DAC_READ_SEARCH {HELP}"),
        (0, 0, 1000, f"the capability SYS_PTRACE and DAC_READ_SEARCH {HELP}"),
        (10001, 0, 0, f"uid 0 with SYS_PTRACE {HELP}"),
        (
            10001,
            PTRACE,
            1000,
            f"uid 0 with SYS_PTRACE and DAC_READ_SEARCH, or the server's own uid 1000 and gid 100 {HELP}",
        ),
        (
            1000,
            0,
            1000,
            f"uid 0 with SYS_PTRACE and DAC_READ_SEARCH, since the server is no ordinary process of uid 1000 {HELP}",
        ),
    ],
)
def test_needs(uid: int, capabilities: int, owner: int, expected: str, tmp_path: Path) -> None:
    """What is missing depends on who we are, what we may do, and whose the server is."""
    put(tmp_path / "7/status", f"Uid:\t{owner}\t{owner}\t{owner}\t{owner}\nGid:\t100\t100\t100\t100\n")

    assert f"needs: {expected}" == Proc(tmp_path, tmp_path, uid, 100, capabilities).needs(7)


def test_needs_of_the_servers_user_in_another_group(tmp_path: Path) -> None:
    """The kernel opens a process to its own user only in its own group, which is told."""
    put(tmp_path / "7/status", "Uid:\t1000\t1000\t1000\t1000\nGid:\t100\t100\t100\t100\n")

    said = Proc(tmp_path, tmp_path, 1000, 0, 0).needs(7)

    assert f"needs: uid 0 with SYS_PTRACE and DAC_READ_SEARCH, or the server's own uid 1000 and gid 100 {HELP}" == said


def test_needs_of_an_unknown_server(tmp_path: Path) -> None:
    """Where it cannot be read whose the server is, the least is asked for."""
    assert f"needs: uid 0 with SYS_PTRACE {HELP}" == Proc(tmp_path, tmp_path, 1000, 0, 0).needs(8)


@pytest.mark.parametrize(
    ("status", "expected"), [("CapEff:\t0000000000080000\n", PTRACE), ("CapEff:\tx\n", 0), ("Name:\tx\n", 0)]
)
def test_rights_of_our_own(status: str, expected: int, tmp_path: Path) -> None:
    """What we may do is read from the kernel's word on ourselves."""
    put(tmp_path / "self/status", status)

    assert expected == proc(tmp_path, tmp_path).capabilities
    assert proc(tmp_path / "nowhere", tmp_path).capabilities == 0


def test_few_rights_leave_what_anybody_may_read() -> None:
    """To a user without rights arguments, affinity, limits and counts stay; the rest says what to add."""
    with folder_for_all() as folder:
        here = plant(captured("vllm-0.32_cpu"), folder)
        put(here / "proc/self/mountinfo", "another namespace\n")
        for path in [here / "proc" / pid / name for pid in ("19741", "20384", "20385", "20397") for name in PRIVATE]:
            if path.exists():
                path.chmod(0)
        with nobody():
            _, facts = Watch(here / "proc", here / "sys", ADDRESS).look(1.0)
        for path in (here / "proc/19741/fd", here / "proc/19741/root"):
            path.chmod(0o755)
    found = {fact.name.removeprefix("process."): fact for fact in facts}

    assert "its command line says port 8000" == found["found"].value
    readable = {name for name, fact in found.items() if fact.value is not None and not name.startswith("arg")}
    assert readable == {"pid", "found", "api_servers", "engines", "workers", "affinity", "numa_nodes", "scheduling"} | {
        "swap", "shm_bytes", "nofile", "memlock_bytes", "cpu_quota"
    }  # fmt: skip
    assert "dummy" == found["arg.load-format"].value
    unread = [fact for fact in facts if fact.value is None]
    assert {"needs: uid 0 with SYS_PTRACE (docs/install.md, level process facts)"} == {fact.why for fact in unread}


def test_the_root_of_a_neighbour_is_ours(tmp_path: Path) -> None:
    """The root of a process whose mounts are ours is read as ours where we may not pass through /proc."""
    put(tmp_path / "7/mountinfo", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    put(tmp_path / "self/mountinfo", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    (tmp_path / "7/root").mkdir()

    assert Tree(str(tmp_path / "7/root")) == tree(Proc(tmp_path, tmp_path, 0, 0, 0), 7)
    assert "/proc/8/root cannot be read: No such file or directory" == why(
        lambda: tree(Proc(tmp_path, tmp_path, 0, 0, 0), 8)
    )
    with folder_for_all() as folder:
        for name in ("7", "self"):
            put(folder / name / "mountinfo", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
        (folder / "7/root").mkdir()
        (folder / "7/root").chmod(0)
        with nobody():
            found = tree(Proc(folder, folder, 1, 0, 0), 7)
        (folder / "7/root").chmod(0o755)

    assert Tree("") == found


@pytest.mark.parametrize(("kilobytes", "swap"), [(65535, "none"), (65536, "in use")])
def test_swap_that_matters(kilobytes: int, swap: str, tmp_path: Path) -> None:
    """A few pages that nobody touches any more are no swap in use; 64 MiB of the server and its processes are."""
    here = plant(captured("vllm-0.32_cpu"), tmp_path)
    status = here / "proc/19741/status"
    status.write_text(re.sub(r"VmSwap:.*", f"VmSwap:\t{kilobytes} kB", status.read_text()))
    _, facts = Watch(here / "proc", here / "sys", ADDRESS).look(1.0)

    assert [swap] == [fact.value for fact in facts if fact.name == "process.swap"]
