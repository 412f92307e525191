"""What detection.md asks of the detector, and where it falls short."""

from collections.abc import Callable, Iterator, Sequence
from math import inf
from statistics import median

from recorded import Told
from tried import HEALS, IDEAL, OURS, RAMP, SPAWN, STEPS, Tried, interval, p90

MEASURED = ("iid", "ar", "diurnal")
JUDGED = (*MEASURED, "mix", "bursts", "deploy")
"""Worlds in which a day's baseline lets small effects page."""
SIX_HOURS, HEALED = 360, 180
FALSE, SLOWER, SLOWEST, ONSET, CREPT, COST = 1, 1.5, 2.5, 3, 0.08, 0.2e-3


Figure = tuple[bool, str]
"""Whether it is good enough, and what it is."""


def quiet(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give each world's false pages in 30 days."""
    for one in every:
        pages = one.healthy(OURS)
        low, high = interval(pages, p90)
        yield p90(pages) <= FALSE, f"{one.world} {p90(pages):.0f} [{low:.0f}, {high:.0f}]"


def wrongly(recordings: Sequence[Told]) -> Iterator[Figure]:
    """Give each recorded series' false pages."""
    for one in recordings:
        yield not one.false, f"{one.name} {len(one.false)}"


def soon(every: Sequence[Tried], of: Callable[[Sequence[float]], float], most: float) -> Iterator[Figure]:
    """Give how many times longer than the clairvoyant each step takes."""
    for one in every:
        for label in ("+10%", "+20%") if one.world in MEASURED else ():
            ours, best = of(one.delays(OURS, label)), of(one.delays(IDEAL, label))
            yield ours <= most * best, f"{one.world} {label} {ours:.0f}:{best:.0f} = {ours / best:.2f}"


def all_found(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give how many of the steps that the clairvoyant finds within six hours the detector finds within them."""
    for one in (one for one in every if one.world in JUDGED):
        for label in STEPS:
            pairs = zip(one.delays(OURS, label), one.delays(IDEAL, label), strict=True)
            found = [ours <= SIX_HOURS for ours, best in pairs if best <= SIX_HOURS]
            yield all(found), f"{one.world} {label} {sum(found)} of {len(found)}"


def crept(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give how slow the server was when a ramp paged: most of them, and nearly all."""
    at = [min(0.20, 0.005 * delay / 60) for one in every for delay in one.delays(OURS, RAMP)]
    if at:
        yield p90(at) <= CREPT, f"median {median(at):+.1%}, p90 {p90(at):+.1%}"


def spawned(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give how many servers that spawned slow were found within an hour, and how many of those were named so."""
    seen = [one["ours"] for tried in every for one in tried.changes(SPAWN)]
    found = [one for one in seen if one["delay"] is not None and one["delay"] <= 60]
    if seen:
        middle = median(one["delay"] for one in found) if found else inf
        named = sum(one["named"] for one in found)
        yield len(found) == len(seen), f"{len(found)} of {len(seen)}, median {middle:.0f} probes"
        yield named == len(found), f"named {named} of {len(found)}"


def closed(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give how many pages outlived three slow hours and closed after them, within how many probes, and came again."""
    seen = [one["ours"] for tried in every for one in tried.changes(HEALS) if one["ours"]["delay"] is not None]
    if seen:
        took = [one["closed"] - HEALED if one["closed"] else inf for one in seen]
        good = [0 < one < inf for one in took]
        yield all(good), f"{sum(good)} of {len(good)}, after {median(took):.0f} probes, p90 {p90(took):.0f}"
        again = sum(one["again"] for one in seen)
        yield not again, f"{again} more pages"


def placed(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give by how many probes each onset is off."""
    for one in every:
        if one.world in MEASURED and any(one.onsets(label) for label in STEPS):
            off = {label: one.onsets(label) for label in STEPS}
            pooled = median(each for some in off.values() for each in some)
            apart = ", ".join(f"{label} {median(some):.0f}" for label, some in off.items() if some)
            yield pooled <= ONSET, f"{one.world} {pooled:.0f} ({apart})"


def dear(every: Sequence[Tried]) -> Iterator[Figure]:
    """Give what a probe costs."""
    if costs := [trial["cost"] for one in every for trial in one.trials if trial["cost"]]:
        yield max(costs) <= COST, f"{max(costs) * 1e3:.3f} ms"


def verdicts(every: Sequence[Tried], recordings: Sequence[Told]) -> Iterator[str]:
    """Say of each goal whether it is met, and by what figures."""
    for goal, figures in (
        (f"false pages: p90 over baselines at most {FALSE} in 30 days", quiet(every)),
        ("no false page in what was recorded", wrongly(recordings)),
        (f"median delay of +10 % and +20 % at most {SLOWER} times the clairvoyant's", soon(every, median, SLOWER)),
        (f"p90 at most {SLOWEST} times", soon(every, p90, SLOWEST)),
        ("what the clairvoyant finds within 6 h is found within 6 h", all_found(every)),
        (f"a ramp of 0.5 % an hour pages before {CREPT:+.0%}", crept(every)),
        ("a server that spawned 25 % slower pages within an hour, and is named", spawned(every)),
        ("a page of three slow hours closes once, after them", closed(every)),
        (f"onset within {ONSET} probes, median", placed(every)),
        (f"at most {COST * 1e3:g} ms of CPU per probe and metric", dear(every)),
    ):
        seen = list(figures)
        word = "NOT MEASURED" if not seen else "met" if all(good for good, _ in seen) else "NOT MET"
        yield f"{word}: {goal}: " + "; ".join(text if good else f"{text} (!)" for good, text in seen)
