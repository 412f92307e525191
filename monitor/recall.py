"""What the store tells a heart beside what it sees: events, what was accepted, how settings changed before."""

import asyncio
from collections.abc import Iterable

from monitor.model import Acceptance, Event, Fact
from monitor.store.history import History
from monitor.store.schema import StoreError
from monitor.tuning.change import UNKNOWN, step
from monitor.tuning.join import causes

DAY = 86_400.0


class Recall:
    """What is known of one target; `scopes` are its own in the store first, and the node's if it runs there.

    What was read last holds while the store cannot be used, which is told elsewhere.
    """

    def __init__(self, history: History, endpoint: str, scopes: tuple[str, ...]) -> None:
        self._history = history
        self._endpoint = endpoint
        self._scopes = scopes
        self.events: tuple[Event, ...] = ()
        self.accepted: tuple[Acceptance, ...] = ()
        self.past = UNKNOWN

    @property
    def happened(self) -> tuple[Event, ...]:
        """What may be the cause of something."""
        return causes(self.events)

    @property
    def settled(self) -> frozenset[tuple[str, str]]:
        """What is accepted, as facts with their values."""
        return frozenset((one.fact, one.value) for one in self.accepted)

    def holds(self, kind: str, at: float) -> float | None:
        """Give the moment until which something of a kind holds; None if nothing does."""
        return max((event.until for event in self.events if event.kind == kind and event.until > at), default=None)

    async def wake(self) -> None:
        """Take up how the target's settings changed; raises StoreError."""
        self.past = await asyncio.to_thread(self._history.past, self._scopes[0])

    async def refresh(self, at: float) -> None:
        """Read what happened in the last day, what holds now, and what is accepted."""
        try:
            self.events = await asyncio.to_thread(self._history.events, self._endpoint, at - DAY)
            self.accepted = await asyncio.to_thread(self._history.accepted, self._scopes)
        except StoreError:
            return

    def saw(self, facts: Iterable[Fact], at: float) -> None:
        """Take in the target's settings."""
        self.past = step(self.past, facts, at)
