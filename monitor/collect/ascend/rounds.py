"""Asking for each NPU's details now and then, and only as long as there is time: each call costs tenths of a second."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.collect.ascend.detail import QUERIES, Figure, details
from monitor.collect.fetch import LookError

EVERY = 4
"""A round begins at every so many looks."""
OLD = 600.0
"""Seconds after which what was told is forgotten: sixteen slow NPUs are through in five minutes."""

Ask = Callable[[str, str], Awaitable[str]]
"""Gives what a query (of QUERIES) prints of an NPU; raises LookError."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of an NPU's chips, and when."""

    at: float
    chips: Mapping[str, tuple[Figure, ...]]


class Rounds:
    """The rounds of one node. `why` says what the last failure was, "" where there is none since the round began."""

    def __init__(self, ask: Ask, every: int = EVERY) -> None:
        self._ask = ask
        self._every = every
        self._looks = 0
        self._due: list[str] = []
        self._told: dict[str, Told] = {}
        self.why = ""

    async def look(self, npus: Sequence[str], at: float, until: float) -> Mapping[str, Told]:
        """Go on with the round, up to the event loop's time `until`, and give what is known of each NPU."""
        if self._looks % self._every == 0 and not self._due:
            self._due, self.why = list(npus), ""
        self._looks += 1
        self._due = [npu for npu in self._due if npu in npus]
        self._told = {npu: told for npu, told in self._told.items() if npu in npus and at - told.at <= OLD}
        await self._go_on(at, until)
        return dict(self._told)

    async def _go_on(self, at: float, until: float) -> None:
        for position, npu in enumerate(tuple(self._due)):
            if asyncio.get_running_loop().time() >= until:
                return
            try:
                async with asyncio.timeout_at(until):
                    await self._one(npu, at)
            except TimeoutError:
                if position:
                    return  # it had little time, and comes first at the next look
                self._told.pop(npu, None)
                self.why = f"NPU {npu} was not answered for in time"
            self._due.remove(npu)

    async def _one(self, npu: str, at: float) -> None:
        """Ask for one NPU; of what cannot be told now, nothing older is kept."""
        texts = []
        for query in QUERIES:
            try:
                texts.append(await self._ask(query, npu))
            except LookError as error:
                self.why = str(error)
        self._told.pop(npu, None)
        if chips := details(texts):
            self._told[npu] = Told(at, chips)
