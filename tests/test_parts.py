"""What settings become: a host whose files hang does not take the monitor with it."""

import os
import threading
from pathlib import Path

import anyio

from monitor.collect.registry import run
from monitor.parts import node_looks
from monitor.settings import Host, Settings


async def test_a_read_that_hangs(tmp_path: Path) -> None:
    """A look that hangs is told, no second thread is spent on it, and once it is over the next look works."""
    file = tmp_path / "sys" / "vm" / "swappiness"
    file.parent.mkdir(parents=True)
    os.mkfifo(file)
    look = node_looks(Settings(host=Host(procfs=tmp_path, sysfs=tmp_path)))["host"]
    before = set(threading.enumerate())

    errors = [(await run("host", look, 0.1)).error for _ in range(3)]
    [hanging] = set(threading.enumerate()) - before
    writer = os.open(file, os.O_WRONLY)
    file.unlink()
    os.close(writer)
    await anyio.to_thread.run_sync(hanging.join, 10.0)

    assert ["no answer within 0.1 s", *["the look before this one still hangs in the kernel"] * 2] == errors
    assert (await run("host", look, 10.0)).ok
