"""How a profile's figure is made: of one request, of a prompt sent twice, or of a stream that others disturb."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from monitor.canary.asking import Asked, Asker
from monitor.canary.profiles import LONG, OTHERS, Profile
from monitor.canary.stopwatch import Lag
from monitor.canary.timing import Timing

PREFILL = replace(LONG, name="prefill", output_tokens=1)
FREE = {"unreachable", "rejected"}
"""Outcomes of requests that cost no token."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan gave: the request whose timing counts, when and with what lag, and what all of it cost."""

    asked: Asked
    at: float
    lag: float
    prompt_tokens: int | None
    output_tokens: int | None
    cold_ttft: float | None = None


async def single(asker: Asker, profile: Profile, lag: Lag) -> Outcome:
    """Ask once, cold."""
    return await _timed(asker, profile, asker.nonce(), lag)


async def warm(asker: Asker, profile: Profile, lag: Lag) -> Outcome:
    """Ask the same twice, cold and then warm: how much faster the second answer begins is what caching gives.

    The server's own counter of hits need not be trusted for that.
    """
    nonce = asker.nonce()
    cold = await _timed(asker, profile, nonce, lag)
    if cold.asked.timing.outcome != "ok":
        return cold
    again = await _timed(asker, profile, nonce, lag)
    return replace(_with_cost(again, cold.asked.timing), lag=max(cold.lag, again.lag), cold_ttft=cold.asked.timing.ttft)


async def stall(asker: Asker, profile: Profile, lag: Lag) -> Outcome:
    """Listen to one stream while long prompts are read: its longest gap is how long others make it wait."""
    answering = asyncio.Event()

    async def disturb() -> list[Asked]:
        await answering.wait()
        return list(await asyncio.gather(*(asker.ask(PREFILL, asker.nonce()) for _ in range(OTHERS))))

    disturbing = asyncio.create_task(disturb())
    try:
        heard = await _timed(asker, profile, asker.nonce(), lag, answering.set)
        if not answering.is_set():
            return heard
        others = await disturbing
    finally:
        disturbing.cancel()
        await asyncio.wait([disturbing])
    whole = _disturbed(_with_cost(heard, *(asked.timing for asked in others)), others[0])
    failed = next((asked.timing for asked in others if asked.timing.outcome != "ok"), None)
    if failed is not None and heard.asked.timing.outcome == "ok":
        why = Timing(failed.outcome, f"a long prompt beside the stream failed: {failed.detail}")
        return replace(whole, asked=replace(whole.asked, timing=why))
    return whole


def _disturbed(outcome: Outcome, other: Asked) -> Outcome:
    """Name in the version what disturbed the stream, where that is not the whole long text."""
    if other.request.version == PREFILL.version:
        return outcome
    request = outcome.asked.request
    version = f"{request.version}|{other.request.version}"
    return replace(outcome, asked=replace(outcome.asked, request=replace(request, version=version)))


PLANS = {"single": single, "warm": warm, "stall": stall}


async def _timed(
    asker: Asker, profile: Profile, nonce: str, lag: Lag, began: Callable[[], None] = lambda: None
) -> Outcome:
    at = time.time()
    lag.take()
    asked = await asker.ask(profile, nonce, began)
    return Outcome(asked, at, lag.take(), asked.timing.prompt_tokens, asked.timing.output_tokens)


def _with_cost(outcome: Outcome, *others: Timing) -> Outcome:
    """Add what other requests of the same probe cost; unknown where one of them is, nothing for a refused one."""
    timings = [timing for timing in (outcome.asked.timing, *others) if timing.outcome not in FREE]
    return replace(
        outcome,
        prompt_tokens=_total([timing.prompt_tokens for timing in timings]),
        output_tokens=_total([timing.output_tokens for timing in timings]),
    )


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
