"""Captured baselines: kept whole or not at all, one of each endpoint active."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, delete, func, insert, select, update

from monitor import catalog
from monitor.model import Answer, Baseline, Context, Fact, Series
from monitor.store.engine import transaction
from monitor.store.schema import StoreError
from monitor.store.tables import ANSWER, BASELINE, FACT, VALUE

UNKNOWN = ((None, None),)
"""Where a value was taken of which that is not known."""


@dataclass(frozen=True, slots=True)
class BaselineInfo:
    """A stored baseline without its sample."""

    name: str
    context: Context
    captured_at: float
    active: bool
    values: int


class Baselines:
    """Every method is one transaction; blocking: call through `asyncio.to_thread` from async code."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, baseline: Baseline) -> None:
        """Keep a baseline and make it its endpoint's active one; raises StoreError if the name is taken.

        What another tool measured is kept, and never active: no canary of ours can be compared with it.
        """
        self.refuse_taken(baseline.name)
        with transaction(self._engine) as connection:
            key = connection.execute(insert(BASELINE).values(**_row(baseline))).inserted_primary_key
            assert key is not None  # noqa: S101 - SQLAlchemy: a single-row insert has one
            connection.execute(insert(VALUE), _value_rows(key[0], baseline.series))
            if baseline.facts:
                connection.execute(insert(FACT), [_fact_row(key[0], fact) for fact in baseline.facts])
            if baseline.answers:
                rows = [{"baseline_id": key[0], **asdict(answer)} for answer in baseline.answers]
                connection.execute(insert(ANSWER), rows)
            endpoint = baseline.context.endpoint
            taken = select(BASELINE.c.id).where(BASELINE.c.endpoint == endpoint, BASELINE.c.active)
            # What somebody captured meanwhile is worth more than what a first day happened to show.
            if foreign(baseline) is None and (not baseline.provisional or connection.scalar(taken) is None):
                _activate(connection, baseline.name, endpoint)

    def refuse_taken(self, name: str) -> None:
        """Raise StoreError if a baseline has this name: nothing captured is ever overwritten."""
        with transaction(self._engine) as connection:
            if connection.scalar(select(BASELINE.c.id).where(BASELINE.c.name == name)) is not None:
                raise StoreError(f"baseline {name!r} exists; choose another name, or drop it first")

    def all(self) -> tuple[BaselineInfo, ...]:
        """List the baselines, oldest first."""
        count = select(func.count()).where(VALUE.c.baseline_id == BASELINE.c.id).scalar_subquery()
        query = select(BASELINE, count.label("size")).order_by(BASELINE.c.captured_at)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return tuple(
            BaselineInfo(row.name, Context(row.model, row.endpoint), row.captured_at, row.active, row.size)
            for row in rows
        )

    def get(self, name: str) -> Baseline:
        """Give a baseline by name; raises StoreError if there is none."""
        found = self._find(BASELINE.c.name == name)
        if found is None:
            known = ", ".join(info.name for info in self.all()) or "none captured yet"
            raise StoreError(f"there is no baseline {name!r}; known: {known}")
        return found

    def active(self, endpoint: str) -> Baseline | None:
        """Give the baseline that an endpoint is judged against."""
        return self._find((BASELINE.c.endpoint == endpoint) & BASELINE.c.active)

    def active_key(self, endpoint: str) -> tuple[str, float] | None:
        """Name the active baseline of an endpoint with its time, cheaply enough for each beat."""
        query = select(BASELINE.c.name, BASELINE.c.captured_at)
        with transaction(self._engine) as connection:
            row = connection.execute(query.where(BASELINE.c.endpoint == endpoint, BASELINE.c.active)).first()
            return None if row is None else (row.name, row.captured_at)

    def use(self, name: str) -> None:
        """Make a baseline its endpoint's active one; raises StoreError if there is none, or if it is another tool's."""
        found = self.get(name)
        if (tool := foreign(found)) is not None:
            raise StoreError(f"{name} is what {tool} measured, for comparing: to judge by, capture one")
        endpoint = found.context.endpoint
        with transaction(self._engine) as connection:
            _activate(connection, name, endpoint)

    def drop(self, name: str) -> None:
        """Forget a baseline; raises StoreError if there is none of that name."""
        self.get(name)
        with transaction(self._engine) as connection:
            key = connection.scalar(select(BASELINE.c.id).where(BASELINE.c.name == name))
            connection.execute(delete(VALUE).where(VALUE.c.baseline_id == key))
            connection.execute(delete(FACT).where(FACT.c.baseline_id == key))
            connection.execute(delete(ANSWER).where(ANSWER.c.baseline_id == key))
            connection.execute(delete(BASELINE).where(BASELINE.c.id == key))

    def _find(self, condition: ColumnElement[bool]) -> Baseline | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(BASELINE).where(condition)).first()
            if row is None:
                return None
            columns = (VALUE.c.metric, VALUE.c.stratum, VALUE.c.at, VALUE.c.value, VALUE.c.running, VALUE.c.kv_usage)
            mine = VALUE.c.baseline_id == row.id
            values = connection.execute(select(*columns).where(mine).order_by(*columns[:3], VALUE.c.id)).all()
            settings = (FACT.c.fact, FACT.c.value, FACT.c.path, FACT.c.why)
            facts = connection.execute(select(*settings).where(FACT.c.baseline_id == row.id)).all()
            said = (ANSWER.c.profile, ANSWER.c.version, ANSWER.c.digest, ANSWER.c.words, ANSWER.c.fault)
            answers = connection.execute(
                select(*said).where(ANSWER.c.baseline_id == row.id).order_by(ANSWER.c.id)
            ).all()
        context = Context(row.model, row.endpoint)
        settings_then = tuple(Fact(*fact) for fact in facts)
        said_then = tuple(Answer(one.profile, one.version, one.digest, tuple(one.words), one.fault) for one in answers)
        return Baseline(row.name, context, row.captured_at, _series(values), settings_then, row.provisional, said_then)


def foreign(baseline: Baseline) -> str | None:
    """Name the tool that measured a baseline, if it was not this monitor."""
    return next((fact.value for fact in baseline.facts if fact.name == catalog.IMPORTED_FROM), None)


def _row(baseline: Baseline) -> dict[str, Any]:
    context = baseline.context
    return {
        "name": baseline.name,
        "model": context.model,
        "endpoint": context.endpoint,
        "captured_at": baseline.captured_at,
        "active": False,
        "provisional": baseline.provisional,
    }


def _value_rows(key: int, series: Iterable[Series]) -> list[dict[str, Any]]:
    return [
        {
            "baseline_id": key,
            "metric": one.metric,
            "stratum": one.stratum,
            "at": at,
            "value": value,
            "running": running,
            "kv_usage": kv_usage,
        }
        for one in series
        for at, value, (running, kv_usage) in zip(
            one.times, one.values, one.places or UNKNOWN * len(one.values), strict=True
        )
    ]


def _fact_row(key: int, fact: Fact) -> dict[str, Any]:
    return {"baseline_id": key, "fact": fact.name, "value": fact.value, "path": fact.path, "why": fact.why}


def _series(rows: Sequence[Any]) -> tuple[Series, ...]:
    """Group rows that come sorted by metric and stratum."""
    grouped = ((key, list(group)) for key, group in groupby(rows, lambda row: (row.metric, row.stratum)))
    return tuple(_one(metric, stratum, group) for (metric, stratum), group in grouped)


def _one(metric: str, stratum: str, rows: Sequence[Any]) -> Series:
    known = all(row.running is not None for row in rows)
    places = tuple((row.running, row.kv_usage) for row in rows) if known else ()
    return Series(metric, stratum, tuple(row.at for row in rows), tuple(row.value for row in rows), places)


def _activate(connection: Connection, name: str, endpoint: str) -> None:
    connection.execute(update(BASELINE).where(BASELINE.c.endpoint == endpoint).values(active=BASELINE.c.name == name))
