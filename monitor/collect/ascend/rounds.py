"""Asking for each NPU's details now and then, and only as long as there is time: each call costs tenths of a second."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from monitor.collect.ascend.detail import QUERIES, Figure, details
from monitor.collect.fetch import LookError

EVERY = 4
"""A round begins at every so many looks, over which its questions are spread."""
OLD = 600.0
"""Seconds after which what was told is forgotten: sixteen NPUs that take seconds for each answer are through in it."""

Ask = Callable[[str, str], Awaitable[str]]
"""Gives what a query (of QUERIES) prints of an NPU; raises LookError."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked in one call."""

    npu: str
    query: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one call told of an NPU's chips, and when."""

    npu: str
    at: float
    chips: Mapping[str, tuple[Figure, ...]]


class Rounds:
    """The rounds of one node. `why` has what the last failure of a query was, if there is one since the round began."""

    def __init__(self, ask: Ask, every: int = EVERY) -> None:
        self._ask = ask
        self._every = every
        self._looks = self._rounds = self._share = 0
        self._due: list[Question] = []
        self._told: dict[Question, Told] = {}
        self.why: dict[str, str] = {}

    async def look(self, npus: Sequence[str], at: float, until: float) -> tuple[Told, ...]:
        """Go on with the round, up to the event loop's time `until`, and give what is known, the oldest first.

        The first look goes all the way, so that a single one shows everything.
        """
        if self._looks % self._every == 0 and not self._due:
            self._begin(npus)
        self._looks += 1
        self._due = [question for question in self._due if question.npu in npus]
        self._told = {
            question: told for question, told in self._told.items() if told.npu in npus and at - told.at <= OLD
        }
        await self._go_on(self._due[: self._share], at, until)
        return tuple(sorted(self._told.values(), key=lambda told: told.at))

    def _begin(self, npus: Sequence[str]) -> None:
        """Begin a round: the first one with every question, later ones with a part of those that are asked rarely."""
        self._due = [
            Question(npu, query)
            for position, npu in enumerate(npus)
            for query, nth in QUERIES.items()
            if self._rounds == 0 or (self._rounds + position) % nth == 0
        ]
        self._share = math.ceil(len(self._due) / self._every) if self._rounds else len(self._due)
        self._rounds += 1
        self.why = {}

    async def _go_on(self, questions: Sequence[Question], at: float, until: float) -> None:
        for position, question in enumerate(questions):
            if asyncio.get_running_loop().time() >= until:
                return
            try:
                async with asyncio.timeout_at(until):
                    await self._one(question, at)
            except TimeoutError:
                if not position:  # any other one had little time, and comes first at the next look
                    self._hangs(question)
                return
            self._due.remove(question)

    async def _one(self, question: Question, at: float) -> None:
        """Ask once; of what cannot be told now, nothing older is kept."""
        chips: Mapping[str, tuple[Figure, ...]] = {}
        try:
            chips = details(await self._ask(question.query, question.npu))
        except LookError as error:
            self.why[question.query] = str(error)
        self._told.pop(question, None)
        if chips:
            self._told[question] = Told(question.npu, at, chips)

    def _hangs(self, question: Question) -> None:
        """Leave an NPU alone until the next round: its other queries would take as long."""
        self.why[question.query] = f"NPU {question.npu} was not answered for in time"
        self._due = [due for due in self._due if due.npu != question.npu]
        self._told = {asked: told for asked, told in self._told.items() if asked.npu != question.npu}
