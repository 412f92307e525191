"""Running a vendor's command-line tool: bounded in time and output, one at a time, and never left behind."""

import asyncio
import os
import shutil
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from monitor.collect.fetch import LookError
from monitor.collect.turn import turn

LARGEST = 2**20
"""Bytes of output that are read at most: fifty times the longest known table."""
REAP = 2.0
"""Seconds that a killed tool is waited for."""
LINGER = 0.5
"""Seconds that output is waited for once the tool has ended: what it left running may hold its pipe for ever."""

PLAIN = {"LC_ALL": "C"}
"""Numbers and messages as the parsers know them, whatever the operator's language."""

stuck: dict[str, asyncio.subprocess.Process] = {}
"""Tools that not even SIGKILL ended, because their driver holds them; a second one would join them there."""

# These tools talk to one driver; two at once can hang it, so that the server's own calls hang too.
_one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Output:
    """How a tool ended (below zero: by which signal) and what it printed, standard error included."""

    code: int
    text: str


def found(name: str) -> bool:
    """Tell whether a tool is on this machine's PATH."""
    return shutil.which(name) is not None


def libraries(*folders: str) -> dict[str, str]:
    """Give the environment of a tool whose libraries lie in these folders, before those that ours names."""
    return {"LD_LIBRARY_PATH": ":".join(filter(None, (*folders, os.environ.get("LD_LIBRARY_PATH", ""))))}


def ended(printed: Output) -> str:
    """Say how a tool ended, as the rest of a sentence."""
    if printed.code >= 0:
        return f"ends with exit code {printed.code}"
    known = {number.value: number.name for number in signal.Signals}
    return f"was ended by {known.get(-printed.code, f'signal {-printed.code}')}"


async def output(*command: str, env: Mapping[str, str] | None = None, lock: Path | None = None) -> Output:
    """Run a tool to its end. The caller's time limit ends it: cancelled, it is killed with all that it started.

    `env` is laid over our environment; `lock` is the file on which the processes of a node take turns.

    Raises:
        LookError: the tool is not there, may not be run, prints more than 1 MiB, waits too long for its turn, or an
            earlier run of it still hangs in the kernel.
    """
    tool = command[0]
    mine: AbstractAsyncContextManager[None] = turn(lock) if lock else nullcontext()
    async with _one_at_a_time[tool], mine:
        if (old := stuck.get(tool)) and old.returncode is None:
            raise LookError(f"{tool} hangs in its driver and cannot be killed (process {old.pid}); see dmesg")
        async with _started(command, {**os.environ, **PLAIN, **(env or {})}) as (process, reader):
            return await _finished(process, reader)


@asynccontextmanager
async def _started(
    command: tuple[str, ...], env: Mapping[str, str]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """Start a tool, and leave nothing of it: neither processes nor the pipe, which what escaped us may hold."""
    reading, writing = os.pipe()
    reader = asyncio.StreamReader()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", buffering=0)
    )
    try:
        process = await _process(command, env, writing)
        try:
            yield process, reader
        finally:
            await _gone(command[0], process)
    finally:
        pipe.close()


async def _process(command: tuple[str, ...], env: Mapping[str, str], writing: int) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env=env,
            start_new_session=True,  # a group of its own, so that what the tool starts ends with it
        )
    except OSError as error:
        raise LookError(f"{command[0]} cannot be run: {error.strerror}; mount it into the container") from None
    finally:
        os.close(writing)


async def _finished(process: asyncio.subprocess.Process, reader: asyncio.StreamReader) -> Output:
    """Wait until the tool has ended and its output too, or soon after the first."""
    text = bytearray()
    reading = asyncio.create_task(_read(reader, text))
    ending = asyncio.create_task(process.wait())
    try:
        await asyncio.wait((reading, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            await _lingered(reading, text)
        if reading.done():
            reading.result()
        return Output(await ending, text.decode(errors="replace"))
    finally:
        reading.cancel()
        ending.cancel()


async def _lingered(reading: asyncio.Task[None], text: bytearray) -> None:
    """Wait for the end of the output, as long as more of it comes."""
    size = -1
    while not reading.done() and len(text) > size:
        size = len(text)
        await asyncio.wait((reading,), timeout=LINGER)


async def _read(reader: asyncio.StreamReader, text: bytearray) -> None:
    while chunk := await reader.read(65_536):
        text += chunk
        if len(text) > LARGEST:
            raise LookError(f"the tool printed more than {LARGEST >> 20} MiB")


async def _gone(tool: str, process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), REAP)
    stuck.pop(tool, None)
    if process.returncode is None:
        stuck[tool] = process
