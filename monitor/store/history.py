"""What was measured and what changed: probes, samples, facts, and what holds the canary."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select, update

from monitor.model import Event, Fact, Load, Probe, Reading
from monitor.store.engine import transaction
from monitor.store.tables import DELIVERY, EVENT, FACT_CHANGE, FINDING, PROBE, SAMPLE
from monitor.tuning.drift import Change

EVERYWHERE = "*"
"""The scope of what concerns every endpoint: no address is written like that."""


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
                    "accepted": False,
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
                    found.append(Change(fact, last[fact], value))
                last[fact] = value
        return tuple(found)

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
        """Forget history older than a moment; what is active, open, undelivered or a fact's last value stays."""
        with transaction(self._engine) as connection:
            connection.execute(delete(PROBE).where(PROBE.c.at < before))
            connection.execute(delete(SAMPLE).where(SAMPLE.c.at < before))
            newest = select(func.max(FACT_CHANGE.c.id)).group_by(FACT_CHANGE.c.scope, FACT_CHANGE.c.fact)
            past_facts = (FACT_CHANGE.c.at < before) & FACT_CHANGE.c.id.not_in(newest)
            connection.execute(delete(FACT_CHANGE).where(past_facts))
            connection.execute(delete(EVENT).where(EVENT.c.until < before))
            connection.execute(delete(FINDING).where(FINDING.c.closed_at < before))
            past = (DELIVERY.c.delivered_at < before) | (DELIVERY.c.shadow & (DELIVERY.c.at < before))
            connection.execute(delete(DELIVERY).where(past))


def _probe(row: Mapping[str, Any]) -> Probe:
    loads = {key: Load(**row[key]) if row[key] else None for key in ("before", "after")}
    return Probe(**{**row, **loads, "itls": tuple(row["itls"]), "words": tuple(row.get("words", ()))})
