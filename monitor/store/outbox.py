"""Findings that open and close, and the messages about them until they are delivered."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from monitor.model import Finding, Flip, Near, OpenFinding
from monitor.store.engine import transaction
from monitor.store.tables import DELIVERY, FINDING

MUTED = "muted"
"""Instead of an error: a trouble that began and ended while nobody wanted to be told."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message for one sink, not to be sent before a moment; a shadow message only records what would have been."""

    sink: str
    message: Mapping[str, Any]
    shadow: bool
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Due:
    """A message waiting in the outbox."""

    id: int
    sink: str
    message: Mapping[str, Any]
    attempts: int


@dataclass(frozen=True, slots=True)
class Spell:
    """A finding and for how long it held; `closed_at` is None while it is open."""

    finding: Finding
    since: float
    closed_at: float | None


class Outbox:
    """Every method is one transaction; blocking: call through `asyncio.to_thread` from async code."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_findings(self, target: str) -> tuple[OpenFinding, ...]:
        """Give what was open when the monitor last settled."""
        query = select(FINDING).where(FINDING.c.target == target, FINDING.c.closed_at.is_(None))
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(OpenFinding(_finding(row.finding), row.since, row.opened_at) for row in rows)

    def others(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Name the targets beside these of which something is open."""
        gone = FINDING.c.closed_at.is_(None) & FINDING.c.target.not_in(list(targets))
        query = select(FINDING.c.target).where(gone).distinct().order_by(FINDING.c.target)
        with transaction(self._engine) as connection:
            return tuple(connection.execute(query).scalars())

    def spells(self, target: str, after: float) -> tuple[Spell, ...]:
        """Give what was open after a moment, or still is."""
        lately = FINDING.c.closed_at.is_(None) | (FINDING.c.closed_at > after)
        query = select(FINDING).where(FINDING.c.target == target, lately).order_by(FINDING.c.id)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(Spell(_finding(row.finding), row.since, row.closed_at) for row in rows)

    def settle(self, target: str, flips: Iterable[Flip], outgoing: Iterable[Outgoing], at: float) -> None:
        """Keep flips together with the messages about them: both or neither."""
        with transaction(self._engine) as connection:
            for flip in flips:
                connection.execute(_opening(target, flip) if flip.opened else _closing(target, flip))
            for one in outgoing:
                _enqueue(connection, one, at)

    def due(self, at: float) -> tuple[Due, ...]:
        """Give the messages that no mute holds back, oldest first."""
        columns = (DELIVERY.c.id, DELIVERY.c.sink, DELIVERY.c.message, DELIVERY.c.attempts)
        ready = select(*columns).where(_waiting(), DELIVERY.c.next_at <= at).order_by(DELIVERY.c.id)
        with transaction(self._engine) as connection:
            return tuple(Due(row.id, row.sink, row.message, row.attempts) for row in connection.execute(ready))

    def release(self, at: float, until: float = 0.0, targets: Collection[str] | None = None) -> None:
        """Let go what a mute holds back, of some targets or of all: now, or when the mute now ends."""
        held = _waiting() & (DELIVERY.c.next_at > at)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(DELIVERY.c.id, DELIVERY.c.message).where(held)).all()
            ids = [row.id for row in rows if targets is None or row.message.get("target") in targets]
            connection.execute(update(DELIVERY).where(DELIVERY.c.id.in_(ids)).values(next_at=max(at, until)))

    def pending(self) -> dict[str, int]:
        """Count the undelivered messages of each sink."""
        query = select(DELIVERY.c.sink, func.count().label("size")).where(_waiting()).group_by(DELIVERY.c.sink)
        with transaction(self._engine) as connection:
            return {row.sink: row.size for row in connection.execute(query)}

    def took(self) -> frozenset[str]:
        """Name the sinks that took a message."""
        taken = DELIVERY.c.delivered_at.is_not(None) & (DELIVERY.c.error == "") & DELIVERY.c.shadow.is_(False)
        with transaction(self._engine) as connection:
            return frozenset(connection.execute(select(DELIVERY.c.sink).where(taken).distinct()).scalars())

    def delivered(self, delivery: int, at: float) -> None:
        """Mark a message as delivered."""
        self._mark(delivery, delivered_at=at, error="")

    def failed(self, delivery: int, error: str) -> None:
        """Mark an attempt as failed; the message is due still."""
        self._mark(delivery, attempts=DELIVERY.c.attempts + 1, error=error)

    def _mark(self, delivery: int, **values: Any) -> None:  # noqa: ANN401 - column values
        with transaction(self._engine) as connection:
            connection.execute(update(DELIVERY).where(DELIVERY.c.id == delivery).values(**values))


def _enqueue(connection: Connection, one: Outgoing, at: float) -> None:
    """Put a message in; of what still waits about the same trouble nothing is news then.

    What a sink did not take is overtaken: it is told how things stand now. What a mute holds back is cancelled by its
    end, and then that is not told either.
    """
    row = {"sink": one.sink, "message": one.message, "shadow": one.shadow, "at": at, "attempts": 0, "error": ""}
    waiting = _about(connection, one.sink, one.message.get("key"))
    _drop(connection, [ago.id for ago in waiting if ago.next_at <= at], at, "overtaken")
    began = [ago.id for ago in waiting if ago.next_at > at and ago.message.get("status") == "firing"]
    if began and one.message.get("status") == "resolved":
        _drop(connection, began, at, MUTED)
        connection.execute(insert(DELIVERY).values(**{**row, "error": MUTED}, next_at=at, delivered_at=at))
        return
    connection.execute(insert(DELIVERY).values(**row, next_at=max(at, one.not_before)))


def _about(connection: Connection, sink: str, key: object) -> list[Any]:
    """Give what waits to tell one sink of one trouble."""
    mine = select(DELIVERY.c.id, DELIVERY.c.next_at, DELIVERY.c.message).where(_waiting(), DELIVERY.c.sink == sink)
    return [row for row in connection.execute(mine) if key and row.message.get("key") == key]


def _drop(connection: Connection, ids: list[int], at: float, why: str) -> None:
    """Take messages that wait out of the outbox, as if they were delivered, but for the reason."""
    if ids:
        connection.execute(update(DELIVERY).where(DELIVERY.c.id.in_(ids)).values(delivered_at=at, error=why))


def _waiting() -> Any:  # noqa: ANN401 - SQLAlchemy's column expressions
    return DELIVERY.c.delivered_at.is_(None) & DELIVERY.c.shadow.is_(False)


def _opening(target: str, flip: Flip) -> Any:  # noqa: ANN401 - an SQLAlchemy statement
    finding = asdict(flip.finding)
    return insert(FINDING).values(
        target=target, key=flip.finding.key, since=flip.since, opened_at=flip.at, finding=finding
    )


def _closing(target: str, flip: Flip) -> Any:  # noqa: ANN401 - an SQLAlchemy statement
    mine = (FINDING.c.target == target) & (FINDING.c.key == flip.finding.key)
    return update(FINDING).where(mine, FINDING.c.closed_at.is_(None)).values(closed_at=flip.at)


def _finding(row: Mapping[str, Any]) -> Finding:
    return Finding(**{**row, "near": tuple(Near(**one) for one in row.get("near", ()))})
