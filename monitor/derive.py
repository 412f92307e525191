"""Two looks at cumulative figures become figures of the interval between them; counter resets give none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import fmean

from monitor import catalog
from monitor.model import Labels, Reading, Snapshot, Traffic

Key = tuple[str, Labels]
Values = Mapping[Key, float]

USERS = (catalog.USERS_TTFT, catalog.USERS_TPOT, catalog.USERS_E2E, catalog.USERS_QUEUE)

RATE, TTFT = "request_rate", "users_ttft"
HITS, PREEMPTIONS = "hit_ratio", "preemption_rate"
FIGURES = {
    RATE: catalog.USERS_RATE,
    TTFT: catalog.USERS_TTFT,
    "users_tpot": catalog.USERS_TPOT,
    "users_e2e": catalog.USERS_E2E,
    "users_queue": catalog.USERS_QUEUE,
    HITS: catalog.PREFIX_RATIO,
    "token_rate": catalog.TOKEN_RATE,
    "kv_usage": catalog.KV_USAGE,
    PREEMPTIONS: catalog.PREEMPTION_RATE,
}
"""What users' figures of an interval are called in a baseline, and which samples they come from."""


@dataclass(frozen=True, slots=True)
class Users:
    """Sums and counts of users' requests so far: grown only by intervals in which none of our canaries ran."""

    totals: Values = field(default_factory=dict)

    def grown(self, growth: Values) -> "Users":
        """Add the growth of one clean interval."""
        keys = self.totals.keys() | growth.keys()
        return Users({key: self.totals.get(key, 0.0) + growth.get(key, 0.0) for key in keys})

    def readings(self, at: float) -> tuple[Reading, ...]:
        """Give the totals as readings."""
        return tuple(Reading(metric, value, at, labels) for (metric, labels), value in sorted(self.totals.items()))


def values(readings: Iterable[Reading]) -> Values:
    """Index readings by metric and labels."""
    return {(reading.metric, reading.labels): reading.value for reading in readings}


def growth(previous: Values, current: Values) -> Values | None:
    """Give what each counter gained; None if any went down, because then the server restarted in between."""
    gained = {key: current[key] - previous[key] for key in current.keys() & previous.keys() if _cumulative(key[0])}
    return None if any(gain < 0 for gain in gained.values()) else gained


def users_growth(gained: Values) -> Values:
    """Keep the growth that describes users' requests: sums and counts of TTFT, TPOT, E2E and queue time."""
    return {key: gain for key, gain in gained.items() if key[0].startswith(USERS)}


def hit_ratios(gained: Values, at: float) -> tuple[Reading, ...]:
    """Give hits / queries per engine over the interval; none where nothing was looked up."""
    return tuple(
        Reading(catalog.PREFIX_RATIO, gained[catalog.PREFIX_HITS, labels] / queries, at, labels)
        for (metric, labels), queries in sorted(gained.items())
        if metric == catalog.PREFIX_QUERIES and queries > 0 and (catalog.PREFIX_HITS, labels) in gained
    )


def means(gained: Values, at: float) -> tuple[Reading, ...]:
    """Give the mean of each summary over the interval, in seconds, under the summary's name."""
    return tuple(
        Reading(metric.removesuffix("_sum"), gain / gained[count], at, labels)
        for (metric, labels), gain in sorted(gained.items())
        if metric.endswith("_sum") and gained.get(count := (metric.removesuffix("_sum") + "_count", labels), 0) > 0
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """What two looks at one server say together: readings to show, samples to keep, and whether it restarted.

    `users_rate` is the tokens a second, read and written, that users had; None where our own are among them. `traffic`
    is what their requests were like; None where there were none.
    """

    users: Users
    readings: tuple[Reading, ...]
    samples: tuple[Reading, ...]
    restarted: bool
    users_rate: float | None = None
    traffic: Traffic | None = None


def interval(previous: Snapshot | None, snapshot: Snapshot, users: Users, *, clean: bool) -> Interval:
    """Derive the interval that ends with a look; `clean` says that none of our own canaries ran in it."""
    if not snapshot.ok:
        return Interval(users, (up(snapshot), *users.readings(snapshot.at)), (), restarted=False)
    before, now = values(previous.readings if previous else ()), values(snapshot.readings)
    gained = growth(before, now)
    restarted = gained is None or (None not in {_started(before), _started(now)} and _started(before) != _started(now))
    usable = gained if gained and clean and not restarted else {}
    users = users.grown(users_growth(usable))
    ratios = hit_ratios(usable, snapshot.at)
    direct = tuple(reading for reading in snapshot.readings if not reading.metric.startswith(USERS))
    judged = tuple(reading for reading in direct if catalog.METRICS[reading.metric].worse)
    seconds = snapshot.at - previous.at if previous else 0.0
    rate = _rate(usable, seconds) if usable else None
    rates = _rates(before, now, usable, snapshot.at, seconds)
    samples = (*judged, *ratios, *means(usable, snapshot.at), *rates)
    shown = (*direct, *ratios, *users.readings(snapshot.at), *rates)
    return Interval(users, shown, samples, restarted, rate, _traffic(usable, now, samples, snapshot.at))


def figures(averages: Mapping[str, float]) -> dict[str, float]:
    """Name what is known of an interval by its samples' averages over the engines, but for rate and TTFT."""
    return {
        name: averages[metric] for name, metric in FIGURES.items() if name not in {RATE, TTFT} and metric in averages
    }


def total(known: Values, *metrics: str) -> float | None:
    """Sum metrics over their engines; None where nothing of them is known."""
    found = [value for (metric, _), value in known.items() if metric in metrics]
    return sum(found) if found else None


def _traffic(gained: Values, now: Values, samples: Iterable[Reading], at: float) -> Traffic | None:
    known: dict[str, list[float]] = {}
    for one in samples:
        known.setdefault(one.metric, []).append(one.value)
    averages = {metric: fmean(values) for metric, values in known.items()}
    begun = total(gained, f"{catalog.USERS_TTFT}_count")
    waited = total(gained, f"{catalog.USERS_TTFT}_sum")
    if not begun or waited is None or catalog.USERS_RATE not in averages:
        return None
    waiting = total(now, catalog.WAITING) or 0.0
    return Traffic(at, averages[catalog.USERS_RATE], waited / begun, waiting, figures(averages))


def _rates(before: Values, now: Values, gained: Values, at: float, seconds: float) -> tuple[Reading, ...]:
    """Give what users had per second: requests begun, tokens of each that runs, preemptions; none of what is unknown.

    How many run is the mean of the two looks: nobody counts it in between.
    """
    if seconds <= 0:
        return ()
    begun = total(gained, f"{catalog.USERS_TTFT}_count")
    tokens = total(gained, catalog.GENERATION_TOKENS)
    running = ((total(before, catalog.RUNNING) or 0.0) + (total(now, catalog.RUNNING) or 0.0)) / 2
    per_second = (
        (catalog.USERS_RATE, begun or None),
        (catalog.TOKEN_RATE, tokens / running if tokens is not None and running else None),
        (catalog.PREEMPTION_RATE, total(gained, catalog.PREEMPTIONS)),
    )
    return tuple(Reading(metric, gain / seconds, at) for metric, gain in per_second if gain is not None)


def _rate(gained: Values, seconds: float) -> float | None:
    tokens = total(gained, catalog.PROMPT_TOKENS, catalog.GENERATION_TOKENS)
    return tokens / seconds if tokens is not None and seconds > 0 else None


def _started(known: Values) -> float | None:
    return known.get((catalog.VLLM_START, ()))


def up(snapshot: Snapshot) -> Reading:
    """Say whether the server answered: a failed look carries no data, and this is what it still tells."""
    return Reading(catalog.VLLM_UP, float(snapshot.ok), snapshot.at)


def _cumulative(metric: str) -> bool:
    return metric.endswith(("_total", "_sum", "_count"))
