"""What each version of vLLM must show, what a server does not show of it, and what changed its meaning meanwhile."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from monitor import catalog
from monitor.model import Fact, Severity
from monitor.vllm_names import (
    CONNECTORS,
    ENGINE_LABEL,
    HIT_RATE,
    OLDEST,
    ONLY_V1,
    OTHERS,
    QUANTITIES,
    SWAPPED,
    Quantity,
    Version,
    families,
    version,
)

Engine = Literal["V0", "V1", ""]

COMPLETE = "complete"
REMEDY = "update vllm-monitor; if it is the newest, report the line: until then what these metrics told is absent"
ALIKE = 0.5
"""Names are alike that share at least this part of their words."""

# The words that vLLM and others use for one thing, in one of them; the kind of a figure already says the rest.
_MEANINGS = {
    "ttft": "time to first token",
    "tpot": "time per output token",
    "itl": "inter token latency",
    "e2e": "end to end",
}
_SYNONYMS = {
    "active": "running",
    "fraction": "perc",
    "inter": "per",
    "latency": "time",
    "pending": "queue",
    "percent": "perc",
    "queued": "queue",
    "ratio": "perc",
    "step": "iteration",
    "utilization": "usage",
    "waiting": "queue",
}
_EMPTY = {"", "num", "second", "total", "vllm"}


@dataclass(frozen=True, slots=True)
class Exposed:
    """What an exposition shows: its families with their kinds, whether figures name their engine, who made it.

    `blank` says that there is nothing at all, not even of the process.
    """

    families: Mapping[str, str]
    labelled: bool
    rust: bool = False
    blank: bool = False


def engine(told: str, exposed: Exposed) -> Engine:
    """Tell which engine a server runs; empty where neither its version nor its figures say so."""
    known = version(told)
    if exposed.labelled or (known and known >= ONLY_V1):
        return "V1"
    if exposed.families.keys() & {SWAPPED, HIT_RATE}:
        return "V0"
    if known is None:
        return ""
    return "V0" if known >= ENGINE_LABEL or known < (0, 7, 1) else "V1"


def has_metrics(exposed: Exposed) -> bool:
    """Tell whether there is anything that we read, or what may have replaced it: --disable-log-stats leaves neither."""
    if exposed.families.keys() & families():
        return True
    vital = (quantity for quantity in QUANTITIES if quantity.vital)
    return any(successors(one.names[0].family, one.kind, exposed.families) for one in vital)


def absent(told: str, exposed: Exposed) -> tuple[Quantity, ...]:
    """Give what this version must show and does not; nothing where the version is unknown or older than 0.6."""
    known = version(told)
    if known is None or known < OLDEST:
        return ()
    which = engine(told, exposed)
    return tuple(
        quantity
        for quantity in QUANTITIES
        if _expected(quantity, known, which)
        and (quantity.rust or not exposed.rust)
        and not any(name.family in exposed.families for name in quantity.names)
    )


def _expected(quantity: Quantity, known: Version, which: Engine) -> bool:
    return quantity.v0 if which == "V0" else known >= quantity.names[-1].since


def fact(told: str, exposed: Exposed) -> Fact:
    """Say whether all is there that this version must show, or what is not, sorted, with what looks like its successor.

    `exposed` must be a whole exposition wherever something is absent from it.
    """
    path = "/metrics"
    known = version(told)
    if not has_metrics(exposed):
        return Fact(catalog.CONTRACT, None, path, "no vLLM metrics at all")
    if known is None:
        return Fact(catalog.CONTRACT, None, path, "vLLM's version is not known, and so not what it must show")
    if known < OLDEST:
        return Fact(catalog.CONTRACT, None, path, "nothing is known of vLLM before 0.6")
    missing = [
        _line(_name(quantity, known, engine(told, exposed)), quantity, exposed) for quantity in absent(told, exposed)
    ]
    return Fact(catalog.CONTRACT, ", ".join(sorted(missing)) or COMPLETE, path)


def severity(value: str) -> Severity:
    """Tell how bad it is that a contract is as its fact says: without what is vital, judgement is blind."""
    vital = {name.family for quantity in QUANTITIES if quantity.vital for name in quantity.names}
    return "warning" if vital & {item.split(" ")[0] for item in value.split(", ")} else "info"


def _name(quantity: Quantity, known: Version, which: Engine) -> str:
    if which == "V0":
        return quantity.names[-1].family
    return next(name.family for name in quantity.names if name.since <= known)


def _line(name: str, quantity: Quantity, exposed: Exposed) -> str:
    found = successors(name, quantity.kind, exposed.families)
    return f"{name} → {' or '.join(found)}" if found else name


def successors(name: str, kind: str, shown: Mapping[str, str]) -> tuple[str, ...]:
    """Give the families that look most like a name that is gone: of its kind, unknown to us, with most of its words."""
    strange = [
        family
        for family, its in shown.items()
        if its in {kind, "unknown", "untyped"} and family.startswith("vllm:") and not _is_known(family)
    ]
    scores = {family: _likeness(name, family) for family in strange}
    best = max(scores.values(), default=0.0)
    return tuple(sorted(family for family, score in scores.items() if score == best >= ALIKE))


def _is_known(family: str) -> bool:
    return family in families() | OTHERS or family.startswith(CONNECTORS)


def _likeness(one: str, other: str) -> float:
    mine, its = _words(one), _words(other)
    return len(mine & its) / len(mine | its) if mine | its else 0.0


def _words(name: str) -> frozenset[str]:
    parts = re.split(r"[^a-z0-9]+", name.lower())
    words = [word.removesuffix("s") for part in parts for word in _MEANINGS.get(part, part).split(" ")]
    return frozenset(_SYNONYMS.get(word, word) for word in words) - _EMPTY


@dataclass(frozen=True, slots=True)
class Move:
    """A figure that means something else since a version, though its name stayed; `why` says what moved."""

    metrics: tuple[str, ...]
    since: Version
    why: str


MOVES = (
    Move(
        (catalog.USERS_TPOT,),
        (0, 8, 0),
        "before 0.8 vLLM's V1 could count steps that gave a request no token",
    ),
    Move(
        (catalog.PREFIX_RATIO, catalog.PREFIX_HITS, catalog.PREFIX_QUERIES),
        (0, 11, 1),
        "before 0.11.1 vLLM counted what preempted requests look up again",
    ),
    Move(
        (catalog.USERS_TTFT, catalog.USERS_E2E),
        (0, 17, 0),
        "since 0.17 vLLM counts from before the prompt is rendered and tokenised, so that both are longer",
    ),
)


def moved(before: str, after: str) -> Mapping[str, str]:
    """Give the metrics whose figures of two versions do not compare, with why; none where a version is unknown."""
    versions = sorted(known for known in (version(before), version(after)) if known)
    between = [move for move in MOVES if versions[0] < move.since <= versions[-1]] if versions else []
    return {metric: move.why for move in between for metric in move.metrics}
