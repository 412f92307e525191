"""Running a vendor's command-line tool: bounded in time and output, one at a time, and never left behind."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass

from monitor.collect.fetch import LookError

LARGEST = 4 * 2**20
"""Bytes of output that are read at most."""

REAP = 2.0
"""Seconds that a killed tool is waited for."""

# These tools talk to one driver; two at once can hang it, so that the server's own calls hang too.
_one_at_a_time = asyncio.Lock()


@dataclass(frozen=True, slots=True)
class Output:
    """How a tool ended and what it printed, standard error included."""

    code: int
    text: str


def found(name: str) -> bool:
    """Tell whether a tool is on this machine's PATH."""
    return shutil.which(name) is not None


async def output(*command: str) -> Output:
    """Run a tool to its end. The caller's time limit ends it: cancelled, it is killed and waited for.

    Raises:
        LookError: the tool is not there, may not be run, or prints more than 4 MiB.
    """
    async with _one_at_a_time:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # a group of its own, so that what the tool starts ends with it
            )
        except OSError as error:
            raise LookError(f"{command[0]} cannot be run: {error.strerror}; mount it into the container") from None
        try:
            return Output(*await _drained(process))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(TimeoutError):  # a tool that the driver holds does not even die: it is left to the kernel
                await asyncio.wait_for(process.wait(), REAP)


async def _drained(process: asyncio.subprocess.Process) -> tuple[int, str]:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    text = bytearray()
    while chunk := await process.stdout.read(65_536):
        text += chunk
        if len(text) > LARGEST:
            raise LookError(f"the tool printed more than {LARGEST >> 20} MiB")
    return await process.wait(), text.decode(errors="replace")
