"""Blocking reads in a thread of their own, off the event loop: one that hangs in the kernel hangs alone."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import ParamSpec, TypeVar

from monitor.collect.fetch import LookError
from monitor.thread import in_thread

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
        running[:] = [in_thread(partial(work, *args, **kwargs), "look")]
        return await asyncio.shield(running[0])

    return awaited
