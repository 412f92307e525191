"""One canary is timed at a time, heavy work waits for it, and nobody waits for ever."""

import asyncio
import time

import anyio
import pytest

from monitor.canary.stopwatch import Lag, Stopwatch

PATIENT = 3600.0
"""Seconds that no test lasts: what waits so long waits until it is let in."""


def block(seconds: float) -> None:
    """Keep the event loop from running."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def others() -> None:
    """Let every other task run until it waits for something."""
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


async def test_one_at_a_time() -> None:
    """A canary that comes while another one is timed is timed after it."""
    stopwatch = Stopwatch(patience=PATIENT)
    order = []

    async def second() -> None:
        async with stopwatch.timing():
            order.append("second")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group, stopwatch.timing():
            group.start_soon(second)
            await others()
            order.append("first")

    assert ["first", "second"] == order


async def test_heavy_work_waits() -> None:
    """Heavy work waits until a canary was timed, and holds up none."""
    stopwatch = Stopwatch(patience=PATIENT)
    order = []

    async def heavy() -> None:
        await stopwatch.settled()
        order.append("heavy")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group, stopwatch.timing():
            group.start_soon(heavy)
            await others()
            order.append("canary")

    assert ["canary", "heavy"] == order
    assert await is_free(stopwatch)


async def test_a_long_one_is_shared() -> None:
    """A canary that takes longer than the patience stops neither the others nor heavy work."""
    stopwatch = Stopwatch(patience=0.0)

    with anyio.fail_after(30):
        async with stopwatch.timing() as first:
            async with stopwatch.timing() as second:
                assert first is not second
            await stopwatch.settled()


async def test_a_shared_one_is_still_held() -> None:
    """Who shared the stopwatch does not give it away: it is free when the one who holds it is done."""
    stopwatch = Stopwatch(patience=0.0)
    async with stopwatch.timing():
        async with stopwatch.timing():
            pass
        assert not await is_free(stopwatch)

    assert await is_free(stopwatch)


async def is_free(stopwatch: Stopwatch) -> bool:
    """Tell whether the stopwatch can be had without waiting."""
    waiting = asyncio.create_task(stopwatch.settled())
    await anyio.lowlevel.checkpoint()
    free = waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    return free


async def test_a_failed_one_leaves_it_free() -> None:
    """A canary that fails or is cancelled gives the stopwatch back."""
    stopwatch = Stopwatch(patience=PATIENT)
    with pytest.raises(LookupError):
        async with stopwatch.timing():
            raise LookupError

    async def hang() -> None:
        async with stopwatch.timing():
            await anyio.sleep_forever()

    hanging = asyncio.create_task(hang())
    await others()
    hanging.cancel()
    await asyncio.wait([hanging])

    assert hanging.cancelled()
    assert await is_free(stopwatch)


async def test_a_cancelled_waiter_leaves_it_free() -> None:
    """Who gives up waiting takes nothing with it, neither before its turn nor in the moment of it."""
    stopwatch = Stopwatch(patience=PATIENT)

    async def wait() -> None:
        async with stopwatch.timing():
            await anyio.sleep_forever()

    async with stopwatch.timing():
        before, at_turn = asyncio.create_task(wait()), asyncio.create_task(wait())
        await others()
        before.cancel()
        await others()
    at_turn.cancel()
    await asyncio.wait([before, at_turn])

    assert [True, True] == [before.cancelled(), at_turn.cancelled()]
    assert await is_free(stopwatch)


async def test_no_task_is_left() -> None:
    """What measures the lag ends with the canary."""
    before = asyncio.all_tasks()
    async with Stopwatch().timing():
        await others()

    assert before == asyncio.all_tasks()


async def test_lag_is_measured() -> None:
    """While a canary is timed a blocked event loop shows as lag, once."""
    async with Stopwatch().timing() as lag:
        await others()
        block(0.05)
        with anyio.fail_after(30):
            while (late := lag.take()) == 0.0:
                await anyio.lowlevel.checkpoint()

    assert late >= 0.04


async def test_the_worst_lag_counts() -> None:
    """Of several delays the longest is told, and asking begins anew."""
    lag = Lag()
    ticks = asyncio.create_task(lag.watch(0.0))
    await others()
    block(0.05)
    await others()
    block(0.01)
    await others()
    ticks.cancel()
    await asyncio.wait([ticks])

    assert lag.take() >= 0.05
    assert 0.0 == lag.take()
