"""Findings that open and close, and the messages about them until they are delivered."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from monitor.model import Finding, Flip, Near, OpenFinding
from monitor.store.engine import transaction
from monitor.store.tables import DELIVERY, FINDING


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

    def close_others(self, targets: Iterable[str], at: float) -> None:
        """Close what is open of targets that are watched no longer: nobody will ever judge it again."""
        gone = FINDING.c.closed_at.is_(None) & FINDING.c.target.not_in(list(targets))
        with transaction(self._engine) as connection:
            connection.execute(update(FINDING).where(gone).values(closed_at=at))

    def settle(self, target: str, flips: Iterable[Flip], outgoing: Iterable[Outgoing], at: float) -> None:
        """Keep flips together with the messages about them: both or neither."""
        with transaction(self._engine) as connection:
            for flip in flips:
                connection.execute(_opening(target, flip) if flip.opened else _closing(target, flip))
            for one in outgoing:
                _enqueue(connection, one, at)

    def due(self, at: float) -> tuple[Due, ...]:
        """Give the messages to be sent now, oldest first; one that failed holds up its sink's later ones."""
        columns = (DELIVERY.c.id, DELIVERY.c.sink, DELIVERY.c.message, DELIVERY.c.attempts, DELIVERY.c.next_at)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(*columns).where(_waiting()).order_by(DELIVERY.c.id)).all()
        later = [row for row in rows if row.next_at > at]
        held = {row.sink for row in later if row.attempts}
        return tuple(
            Due(row.id, row.sink, row.message, row.attempts)
            for row in rows
            if row.sink not in held and row.next_at <= at
        )

    def release(self, at: float, until: float = 0.0, targets: Collection[str] | None = None) -> None:
        """Let go what a mute holds back, of some targets or of all: now, or when the mute now ends."""
        held = _waiting() & (DELIVERY.c.next_at > at) & (DELIVERY.c.attempts == 0)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(DELIVERY.c.id, DELIVERY.c.message).where(held)).all()
            ids = [row.id for row in rows if targets is None or row.message.get("target") in targets]
            connection.execute(update(DELIVERY).where(DELIVERY.c.id.in_(ids)).values(next_at=max(at, until)))

    def pending(self) -> dict[str, int]:
        """Count the undelivered messages of each sink."""
        query = select(DELIVERY.c.sink, func.count().label("size")).where(_waiting()).group_by(DELIVERY.c.sink)
        with transaction(self._engine) as connection:
            return {row.sink: row.size for row in connection.execute(query)}

    def delivered(self, delivery: int, at: float) -> None:
        """Mark a message as delivered."""
        self._mark(delivery, delivered_at=at, error="")

    def failed(self, delivery: int, next_at: float, error: str) -> None:
        """Mark an attempt as failed; the next one is made at `next_at`."""
        self._mark(delivery, attempts=DELIVERY.c.attempts + 1, next_at=next_at, error=error)

    def _mark(self, delivery: int, **values: Any) -> None:  # noqa: ANN401 - column values
        with transaction(self._engine) as connection:
            connection.execute(update(DELIVERY).where(DELIVERY.c.id == delivery).values(**values))


def _enqueue(connection: Connection, one: Outgoing, at: float) -> None:
    """Put a message in, unless it tells the end of what a mute still holds back: then neither is news."""
    row = {"sink": one.sink, "message": one.message, "shadow": one.shadow, "at": at, "attempts": 0, "error": ""}
    if one.message.get("status") == "resolved":
        mine = _waiting() & (DELIVERY.c.sink == one.sink) & (DELIVERY.c.attempts == 0) & (DELIVERY.c.next_at > at)
        held = connection.execute(select(DELIVERY.c.id, DELIVERY.c.message).where(mine)).all()
        began = {"key": one.message.get("key"), "status": "firing"}
        over = [waiting.id for waiting in held if began.items() <= waiting.message.items()]
        if over:
            muted = {"delivered_at": at, "error": "muted"}
            connection.execute(update(DELIVERY).where(DELIVERY.c.id.in_(over)).values(**muted))
            connection.execute(insert(DELIVERY).values(**{**row, **muted}, next_at=at))
            return
    connection.execute(insert(DELIVERY).values(**row, next_at=max(at, one.not_before)))


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
