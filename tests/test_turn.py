"""Processes of a node take turns by a lock on a file, which frees itself with its holder."""

import asyncio
import fcntl
import os
import re
from pathlib import Path

import pytest

from monitor.collect.command import Output, output
from monitor.collect.fetch import LookError
from monitor.collect.turn import turn

pytestmark = pytest.mark.alone


def held(path: Path) -> int:
    """Take the lock as another process would: by a descriptor of its own."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


async def test_file_is_made_for_all(tmp_path: Path) -> None:
    """The file is made where it is missing, and any user may take turns on it, whatever our umask."""
    path = tmp_path / "lock"
    before = os.umask(0o077)
    try:
        async with turn(path):
            mode = path.stat().st_mode & 0o777
    finally:
        os.umask(before)

    assert 0o644 == mode


async def test_one_after_the_other(tmp_path: Path) -> None:
    """Who comes second waits until the first is done."""
    path, order = tmp_path / "lock", []
    handle = held(path)

    async def second() -> None:
        async with turn(path):
            order.append("second")

    waiting = asyncio.create_task(second())
    await asyncio.sleep(0)
    order.append("first")
    os.close(handle)
    await waiting

    assert ["first", "second"] == order


async def test_patience_ends(tmp_path: Path) -> None:
    """A lock that is held too long is told with its file, and not taken away."""
    path = tmp_path / "lock"
    handle = held(path)

    with pytest.raises(LookError) as caught:
        async with turn(path, patience=0.1):
            raise AssertionError
    os.close(handle)

    assert f"another process asks the devices since 0.1 s (it holds {path}); the next look tries again" == str(
        caught.value
    )


async def test_error_frees_the_lock(tmp_path: Path) -> None:
    """Whatever happens during a turn, it ends."""
    path = tmp_path / "lock"

    with pytest.raises(ZeroDivisionError):
        async with turn(path):
            raise ZeroDivisionError

    os.close(held(path))


async def test_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A path that cannot be used is told with what to set; a link in a shared folder leads nowhere."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")

    for path, why in ((tmp_path / "no" / "lock", "No such file or directory"), (link, "Too many levels")):
        with pytest.raises(
            LookError, match=f"^the lock file {re.escape(str(path))} cannot be opened: {why}.*lock_file"
        ):
            async with turn(path):
                raise AssertionError
    assert not (tmp_path / "elsewhere").exists()


async def test_tool_waits_for_its_turn(tmp_path: Path) -> None:
    """A tool with a lock is not started while another process holds it, and its children do not keep it."""
    path, tool = tmp_path / "lock", tmp_path / "tool"
    tool.write_text("#!/bin/sh\nsetsid -f sh -c 'echo $$; exec sleep 600' </dev/null >&1 2>&1\nsleep 0.1\necho fine\n")
    tool.chmod(0o755)
    handle = held(path)

    running = asyncio.create_task(output(str(tool), lock=path))
    done, _ = await asyncio.wait((running,), timeout=0.05)
    os.close(handle)
    printed = await running
    again = held(path)
    os.close(again)
    os.kill(int(printed.text.split()[0]), 9)

    assert set() == done
    assert Output(0, printed.text.split()[0] + "\nfine\n") == printed
