"""The database's tables. Only this package sees them; the rest of the program sees `model` values."""

from typing import Any

from sqlalchemy import JSON, Column, Index, Table
from sqlmodel import Field, SQLModel


class ProbeRow(SQLModel, table=True):
    """Everything one canary request said."""

    __tablename__ = "probe"
    __table_args__ = (Index("probe_target_at", "target", "at"),)

    id: int | None = Field(default=None, primary_key=True)
    target: str
    at: float
    probe: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class SampleRow(SQLModel, table=True):
    """One interval reading that can be judged."""

    __tablename__ = "sample"
    __table_args__ = (Index("sample_target_metric_at", "target", "metric", "at"), Index("sample_at", "at"))

    id: int | None = Field(default=None, primary_key=True)
    target: str
    at: float
    metric: str
    labels: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    value: float


class FactChangeRow(SQLModel, table=True):
    """A setting took a value: `before` is None at the first sight, and value None means unreadable.

    At most one value of a scope's fact is accepted, by somebody at `accepted_at`.
    """

    __tablename__ = "fact_change"
    __table_args__ = (
        Index("fact_change_scope_fact", "scope", "fact", "at"),
        Index("fact_change_accepted", "scope", "accepted_at"),
    )

    id: int | None = Field(default=None, primary_key=True)
    scope: str
    fact: str
    at: float
    before: str | None = None
    value: str | None = None
    accepted_at: float | None = None


class BaselineRow(SQLModel, table=True):
    """A captured baseline; at most one per endpoint is active."""

    __tablename__ = "baseline"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    model: str
    endpoint: str = Field(index=True)
    captured_at: float
    active: bool = False
    provisional: bool = False


class BaselineValueRow(SQLModel, table=True):
    """One value of a baseline's sample, with its time and, where known, the load that it was taken at."""

    __tablename__ = "baseline_value"
    __table_args__ = (Index("baseline_value_of", "baseline_id", "metric", "stratum", "at"),)

    id: int | None = Field(default=None, primary_key=True)
    baseline_id: int = Field(foreign_key="baseline.id")
    metric: str
    stratum: str
    at: float
    value: float
    running: float | None = None
    kv_usage: float | None = None


class BaselineFactRow(SQLModel, table=True):
    """One setting as it was when a baseline was captured."""

    __tablename__ = "baseline_fact"

    id: int | None = Field(default=None, primary_key=True)
    baseline_id: int = Field(foreign_key="baseline.id", index=True)
    fact: str
    value: str | None = None
    path: str = ""
    why: str = ""


class BaselineAnswerRow(SQLModel, table=True):
    """Digests of one answer that a baseline's server gave, the most frequent one of its profile first."""

    __tablename__ = "baseline_answer"

    id: int | None = Field(default=None, primary_key=True)
    baseline_id: int = Field(foreign_key="baseline.id", index=True)
    profile: str
    version: str
    digest: str
    words: list[int] = Field(sa_column=Column(JSON, nullable=False))
    fault: str


class FindingRow(SQLModel, table=True):
    """One finding from opening to closing; open while `closed_at` is None."""

    __tablename__ = "finding"
    __table_args__ = (Index("finding_target_closed", "target", "closed_at"),)

    id: int | None = Field(default=None, primary_key=True)
    target: str
    key: str
    since: float
    opened_at: float
    closed_at: float | None = None
    finding: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class DeliveryRow(SQLModel, table=True):
    """One message to one sink, until it is delivered; a shadow message records what would have been sent."""

    __tablename__ = "delivery"
    __table_args__ = (Index("delivery_due", "delivered_at", "next_at"),)

    id: int | None = Field(default=None, primary_key=True)
    sink: str
    at: float
    message: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    shadow: bool = False
    attempts: int = 0
    next_at: float
    delivered_at: float | None = None
    error: str = ""


class EventRow(SQLModel, table=True):
    """Something that happened or holds for a while: a capture under way pauses the canary of its endpoint."""

    __tablename__ = "event"
    __table_args__ = (Index("event_scope_kind", "scope", "kind", "until"),)

    id: int | None = Field(default=None, primary_key=True)
    scope: str
    kind: str
    at: float
    until: float
    text: str = ""


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


# The same tables for Core statements, which bulk writes and typed columns need.
PROBE, SAMPLE, FACT_CHANGE, EVENT = _table("probe"), _table("sample"), _table("fact_change"), _table("event")
BASELINE, VALUE, FACT = _table("baseline"), _table("baseline_value"), _table("baseline_fact")
ANSWER = _table("baseline_answer")
FINDING, DELIVERY = _table("finding"), _table("delivery")
