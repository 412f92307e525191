"""Facts against the baseline's facts: what changed. An unreadable one is neither drift nor recovery."""

from collections.abc import Iterable

from monitor import catalog, contract
from monitor.model import Fact, Finding
from monitor.tuning.advice import Accepted
from monitor.tuning.change import UNKNOWN, Change, Past, spread
from monitor.tuning.once import IN_FORCE, once
from monitor.tuning.ruling import Rulebook, Standing

MEASURED = {
    catalog.CONTRACT,
    catalog.KV_TOKENS,
    catalog.LOG_CONCURRENCY,
    catalog.MLNODE_STATE,
    catalog.ASCEND_HEALTH,
    catalog.ASCEND_SERVED,
    catalog.ASCEND_THROTTLE,
    catalog.NVIDIA_HEALTH,
    catalog.NVIDIA_THROTTLE,
    catalog.NVIDIA_UNUSED,
    catalog.NVIDIA_XID,
    catalog.PROCESS_FOUND,
    catalog.PROCESS_PID,
    catalog.PROCESS_SWAP,
    catalog.SOPHGO_HEALTH,
    catalog.SOPHGO_THROTTLE,
}
"""Facts that each start, or the hour, measures anew: nobody tunes them, so a difference is no drift."""


def drift(
    target: str,
    before: Iterable[Fact],
    after: tuple[Fact, ...],
    book: Rulebook,
    accepted: Accepted = (),
    past: Past = UNKNOWN,
) -> tuple[Finding, ...]:
    """Find each setting that is not as it was when the baseline was captured, unless somebody accepted what it is."""
    ignored = MEASURED | book.reported.keys()
    wide = spread(after)
    return tuple(
        _finding(target, change, f"{change}{wide.get(change.fact, '')}", past, _standing(book, change.fact))
        for change in once(before, after)
        if change.fact not in ignored and (change.fact, change.after) not in accepted
    )


def judged(target: str, after: Iterable[Fact]) -> frozenset[str]:
    """Name the keys of settings that are readable now."""
    return frozenset(key(target, fact.name) for fact in after if fact.value is not None)


def key(target: str, fact: str) -> str:
    """Give the key of what is found of a fact."""
    return f"tuning:{target}:{fact}"


def _standing(book: Rulebook, fact: str) -> Standing | None:
    """Give what the guides say of a fact, or of what is in force by it."""
    return book.compared.get(fact) or book.compared.get(IN_FORCE.get(fact, ""))


def _finding(target: str, change: Change, words: str, past: Past, standing: Standing | None) -> Finding:
    return Finding(
        key=key(target, change.fact),
        kind="tuning",
        severity=standing.severity if standing else "info",
        subject=change.fact,
        group=f"tuning:{target}",
        summary=f"{target}: {words} since the baseline",
        remedy=_remedy(change, standing),
        hold=0.0,
        onset=past.moment(change.fact, change.after),
        observed=change.after,
        expected=change.before or "",
        evidence={"change": words},
    )


def _remedy(change: Change, standing: Standing | None) -> str:
    settle = f"restore it, or tell that it is deliberate: monitor accept {change.fact}"
    if change.fact == catalog.VERSION:  # across it, what vLLM counts of users' requests may mean something else
        settle = "; ".join((settle, *dict.fromkeys(contract.moved(change.before or "", change.after).values())))
    return f"{standing.fix}; {settle} [{standing.guide}]" if standing else settle
