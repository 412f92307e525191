"""What was measured and what changed: probes, samples, facts, and what holds the canary."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, delete, func, insert, select, update

from monitor import catalog, derive
from monitor.model import Acceptance, Event, Fact, Load, Probe, Reading, Traffic
from monitor.store.engine import transaction
from monitor.store.tables import DELIVERY, EVENT, FACT_CHANGE, FINDING, PROBE, SAMPLE
from monitor.tuning.change import Change, Past, past

EVERYWHERE = "*"
"""The scope of what concerns every endpoint: no address is written like that."""

PAGE = 1000
"""Probes that are read at once."""


class History:
    """Every method is one transaction; blocking: call through `asyncio.to_thread` from async code."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def remember(self, target: str, probes: Iterable[Probe], samples: Iterable[Reading]) -> None:
        """Keep what one beat measured."""
        rows = [{"target": target, "at": probe.at, "probe": asdict(probe)} for probe in probes]
        values = [
            {"target": target, "at": one.at, "metric": one.metric, "labels": dict(one.labels), "value": one.value}
            for one in samples
        ]
        with transaction(self._engine) as connection:
            if rows:
                connection.execute(insert(PROBE), rows)
            if values:
                connection.execute(insert(SAMPLE), values)

    def probes(self, target: str, since: float, until: float = math.inf) -> tuple[Probe, ...]:
        """Give the probes from a moment on, and before another, in time order."""
        mine = (PROBE.c.target == target) & (PROBE.c.at >= since) & (PROBE.c.at < until)
        query = select(PROBE.c.probe).where(mine).order_by(PROBE.c.at)
        with transaction(self._engine) as connection:
            return tuple(_probe(row) for row in connection.scalars(query))

    def each_probe(self, target: str, since: float) -> Iterator[Probe]:
        """Give the same one by one, each page a transaction: a month of them is never held at once."""
        at, last = since, -1
        while page := self._page(target, at, last):
            yield from (_probe(row.probe) for row in page)
            at, last = page[-1].at, page[-1].id

    def _page(self, target: str, at: float, last: int) -> Sequence[Any]:
        """Read what comes after a row of a moment."""
        # The first of the two comparisons of `at` is what an index can serve.
        later = (PROBE.c.at >= at) & ((PROBE.c.at > at) | (PROBE.c.id > last))
        query = select(PROBE.c.at, PROBE.c.id, PROBE.c.probe).where(PROBE.c.target == target, later)
        with transaction(self._engine) as connection:
            return connection.execute(query.order_by(PROBE.c.at, PROBE.c.id).limit(PAGE)).all()

    def traffic(self, target: str, since: float) -> tuple[Traffic, ...]:
        """Give what users had in the intervals from a moment on, in time order; how many waited is not kept."""
        mine = (SAMPLE.c.target == target) & (SAMPLE.c.at >= since) & SAMPLE.c.metric.in_(derive.FIGURES.values())
        query = select(SAMPLE.c.at, SAMPLE.c.metric, func.avg(SAMPLE.c.value)).where(mine)
        found: dict[float, dict[str, float]] = {}
        with transaction(self._engine) as connection:
            for at, metric, value in connection.execute(query.group_by(SAMPLE.c.at, SAMPLE.c.metric)):
                found.setdefault(at, {})[metric] = value
        whole = {catalog.USERS_RATE, catalog.USERS_TTFT}
        return tuple(
            Traffic(at, one[catalog.USERS_RATE], one[catalog.USERS_TTFT], 0.0, derive.figures(one))
            for at, one in sorted(found.items())
            if whole <= one.keys()
        )

    def first_probe(self, target: str) -> float | None:
        """Give the time of the oldest probe kept."""
        with transaction(self._engine) as connection:
            at: float | None = connection.scalar(select(func.min(PROBE.c.at)).where(PROBE.c.target == target))
            return at

    def note_facts(self, scope: str, facts: Iterable[Fact], at: float) -> None:
        """Keep what changed since the last note; a first sight is a change from nothing."""
        table = FACT_CHANGE.c
        newest = select(func.max(table.id)).where(table.scope == scope).group_by(table.fact)
        with transaction(self._engine) as connection:
            query = select(table.fact, table.value).where(table.id.in_(newest))
            known = {row.fact: row.value for row in connection.execute(query)}
            rows = [
                {
                    "scope": scope,
                    "fact": fact.name,
                    "at": at,
                    "before": known.get(fact.name),
                    "value": fact.value,
                }
                for fact in facts
                if fact.name not in known or known[fact.name] != fact.value
            ]
            if rows:
                connection.execute(insert(FACT_CHANGE), rows)

    def seen(self, scope: str) -> bool:
        """Tell whether anything was ever noted of a scope."""
        query = select(FACT_CHANGE.c.id).where(FACT_CHANGE.c.scope == scope).limit(1)
        with transaction(self._engine) as connection:
            return connection.scalar(query) is not None

    def changes(self, scope: str, since: float) -> tuple[Change, ...]:
        """Give what changed from one known value to another since a moment, also across a time of being unreadable."""
        table = FACT_CHANGE.c
        known = (table.scope == scope) & table.value.is_not(None)
        query = select(table.fact, table.value, table.at).where(known).order_by(table.id)
        last: dict[str, str] = {}
        found = []
        with transaction(self._engine) as connection:
            for fact, value, at in connection.execute(query):
                if at >= since and last.get(fact, value) != value:
                    found.append(Change(fact, last[fact], value, at))
                last[fact] = value
        return tuple(found)

    def past(self, scope: str) -> Past:
        """Give how the facts of a scope changed."""
        table = FACT_CHANGE.c
        known = (table.scope == scope) & table.value.is_not(None)
        query = select(table.fact, table.before, table.value, table.at).where(known).order_by(table.id)
        last: dict[str, str] = {}
        found = []
        with transaction(self._engine) as connection:
            for fact, before, value, at in connection.execute(query):
                if last.get(fact, before) != value:
                    found.append(Change(fact, last.get(fact, before), value, at))
                last[fact] = value
        return past(found)

    def noted(self) -> tuple[tuple[str, str], ...]:
        """Name the scopes and facts of which a value is known."""
        known = FACT_CHANGE.c.value.is_not(None)
        query = select(FACT_CHANGE.c.scope, FACT_CHANGE.c.fact).where(known).distinct()
        with transaction(self._engine) as connection:
            return tuple((row.scope, row.fact) for row in connection.execute(query))

    def accept(self, scopes: Iterable[str], fact: str, at: float) -> tuple[Acceptance, ...]:
        """Take the last value known of a fact as deliberate, in place of any that was; gives what is accepted now."""
        mine = _of(scopes, fact)
        last = mine & FACT_CHANGE.c.id.in_(_newest(FACT_CHANGE.c.value.is_not(None)))
        with transaction(self._engine) as connection:
            connection.execute(update(FACT_CHANGE).where(mine).values(accepted_at=None))
            connection.execute(update(FACT_CHANGE).where(last).values(accepted_at=at))
            return _accepted(connection, mine)

    def withdraw(self, scopes: Iterable[str], fact: str) -> tuple[Acceptance, ...]:
        """Let nothing be accepted of a fact any more; gives what was."""
        mine = _of(scopes, fact)
        with transaction(self._engine) as connection:
            was = _accepted(connection, mine)
            connection.execute(update(FACT_CHANGE).where(mine).values(accepted_at=None))
            return was

    def accepted(self, scopes: Iterable[str]) -> tuple[Acceptance, ...]:
        """Give what is accepted in some scopes, cheaply enough for each beat."""
        with transaction(self._engine) as connection:
            return _accepted(connection, FACT_CHANGE.c.scope.in_(list(scopes)))

    def hold(self, endpoint: str, kind: str, at: float, until: float, text: str = "") -> None:
        """Let something hold the canaries of an endpoint until a moment; again moves that moment, also to now."""
        mine = (EVENT.c.scope == endpoint) & (EVENT.c.kind == kind) & (EVENT.c.until > at)
        with transaction(self._engine) as connection:
            if (
                connection.execute(update(EVENT).where(mine).values(until=until, text=text)).rowcount == 0
                and until > at
            ):
                connection.execute(insert(EVENT).values(scope=endpoint, kind=kind, at=at, until=until, text=text))

    def lift(self, kind: str, at: float) -> None:
        """End whatever holds any endpoint, or all of them, by a kind."""
        mine = (EVENT.c.kind == kind) & (EVENT.c.until > at)
        with transaction(self._engine) as connection:
            connection.execute(update(EVENT).where(mine).values(until=at))

    def note(self, endpoint: str, kind: str, at: float, text: str = "") -> None:
        """Keep that something happened at a moment."""
        with transaction(self._engine) as connection:
            connection.execute(insert(EVENT).values(scope=endpoint, kind=kind, at=at, until=at, text=text))

    def events(self, endpoint: str, since: float) -> tuple[Event, ...]:
        """Give what happened or still held since a moment, to an endpoint or to all, in time order."""
        columns = (EVENT.c.kind, EVENT.c.at, EVENT.c.until, EVENT.c.text)
        mine = EVENT.c.scope.in_([endpoint, EVERYWHERE]) & (EVENT.c.until > since)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(*columns).where(mine).order_by(EVENT.c.at, EVENT.c.id)).all()
        return tuple(Event(*row) for row in rows)

    def prune(self, before: float) -> None:
        """Forget history older than a moment.

        What is active, open or undelivered stays, and of each fact the last value and the accepted one.
        """
        with transaction(self._engine) as connection:
            connection.execute(delete(PROBE).where(PROBE.c.at < before))
            connection.execute(delete(SAMPLE).where(SAMPLE.c.at < before))
            connection.execute(delete(FACT_CHANGE).where(_past(before)))
            connection.execute(delete(EVENT).where(EVENT.c.until < before))
            connection.execute(delete(FINDING).where(FINDING.c.closed_at < before))
            past = (DELIVERY.c.delivered_at < before) | (DELIVERY.c.shadow & (DELIVERY.c.at < before))
            connection.execute(delete(DELIVERY).where(past))


def _past(before: float) -> ColumnElement[bool]:
    table = FACT_CHANGE.c
    kept = table.id.in_(_newest()) | table.id.in_(_newest(table.value.is_not(None))) | table.accepted_at.is_not(None)
    return (table.at < before) & ~kept


def _newest(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Select the last change of each fact, of those that meet conditions."""
    table = FACT_CHANGE.c
    return select(func.max(table.id)).where(*conditions).group_by(table.scope, table.fact)


def _accepted(connection: Connection, mine: ColumnElement[bool]) -> tuple[Acceptance, ...]:
    table = FACT_CHANGE.c
    query = select(table.scope, table.fact, table.value, table.accepted_at).where(mine, table.accepted_at.is_not(None))
    return tuple(Acceptance(*row) for row in connection.execute(query.order_by(table.scope, table.fact)))


def _of(scopes: Iterable[str], fact: str) -> ColumnElement[bool]:
    return FACT_CHANGE.c.scope.in_(list(scopes)) & (FACT_CHANGE.c.fact == fact)


def _probe(row: Mapping[str, Any]) -> Probe:
    loads = {key: Load(**row[key]) if row[key] else None for key in ("before", "after")}
    return Probe(**{**row, **loads, "itls": tuple(row["itls"]), "words": tuple(row.get("words", ()))})
