"""Blocking reads in a thread of their own, off the event loop: one that hangs in the kernel hangs alone."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent import futures
from functools import partial
from typing import ParamSpec, TypeVar

from monitor.collect.fetch import LookError

_P = ParamSpec("_P")
_T = TypeVar("_T")


def alone(work: Callable[_P, _T]) -> Callable[_P, Awaitable[_T]]:
    """Make work that blocks awaitable. Given up by its caller, it goes on, and until it ends no other is begun.

    What comes back raises what `work` raises, or LookError while an earlier one hangs.
    """
    running: list[asyncio.Future[_T]] = []

    async def awaited(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        if running and not running[0].done():
            raise LookError("the look before this one still hangs in the kernel")
        running[:] = [_in_thread(partial(work, *args, **kwargs))]
        return await asyncio.shield(running[0])

    return awaited


def _in_thread(work: Callable[[], _T]) -> asyncio.Future[_T]:
    """Begin in a thread that nobody waits for: the process would wait for a pool's before it ends."""
    seen = futures.Future[_T]()

    def run() -> None:
        try:
            seen.set_result(work())
        except Exception as error:  # noqa: BLE001 - handed on, not handled
            seen.set_exception(error)

    threading.Thread(target=run, name="look", daemon=True).start()
    return asyncio.wrap_future(seen)
