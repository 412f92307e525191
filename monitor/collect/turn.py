"""Taking turns with the other processes of this node: a lock on a file that containers can share."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from monitor.collect.fetch import LookError

PATIENCE = 5.0
"""Seconds that another process's turn is waited for."""
TICK = 0.1
"""Seconds between two tries: the kernel can wait for us only in a thread that nobody could end."""


@asynccontextmanager
async def turn(path: Path, patience: float = PATIENCE) -> AsyncIterator[None]:
    """Hold the lock on a file, which is made where it is not there; it ends with us, however we end.

    Raises:
        LookError: the file cannot be opened, or another process holds it for longer than `patience` seconds.
    """
    handle = _opened(path)
    try:
        await _locked(handle, path, patience)
        yield
    finally:
        os.close(handle)


def _opened(path: Path) -> int:
    """Open the file without the wish to write: who made it may be another user."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with suppress(FileNotFoundError):
            return os.open(path, flags)
        with suppress(FileExistsError):  # another process was faster
            made = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            os.fchmod(made, 0o644)  # whatever the umask says: others take turns with us
            return made
        return os.open(path, flags)
    except OSError as error:
        raise LookError(
            f"the lock file {path} cannot be opened: {error.strerror}; "
            "set lock_file to a path that can be, the same for all that run this tool on the node"
        ) from None


async def _locked(handle: int, path: Path, patience: float) -> None:
    for _ in range(max(1, round(patience / TICK))):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(TICK)
    raise LookError(
        f"another process asks the devices since {patience:g} s (it holds {path}); the next look tries again"
    )
