"""Work that blocks, in a thread that nobody waits for: not the event loop, nor the process when it ends."""

import asyncio
import threading
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

_T = TypeVar("_T")


def in_thread(work: Callable[[], _T], name: str) -> asyncio.Future[_T]:
    """Begin at once in a thread of its own; a pool would be waited for before the process ends."""
    done = futures.Future[_T]()

    def run() -> None:
        try:
            done.set_result(work())
        except Exception as error:  # noqa: BLE001 - handed on, not handled
            done.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(done)
