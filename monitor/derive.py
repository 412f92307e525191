"""Two looks at cumulative figures become figures of the interval between them; counter resets give none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from monitor import catalog
from monitor.model import Labels, Reading, Snapshot

Key = tuple[str, Labels]
Values = Mapping[Key, float]

USERS = (catalog.USERS_TTFT, catalog.USERS_TPOT, catalog.USERS_E2E, catalog.USERS_QUEUE)
_NONE: Values = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Users:
    """Sums and counts of users' requests so far: grown only by intervals in which none of our canaries ran."""

    totals: Values = field(default=_NONE)

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


def up(snapshot: Snapshot) -> Reading:
    """Say whether the server answered: a failed look carries no data, and this is what it still tells."""
    return Reading(catalog.VLLM_UP, float(snapshot.ok), snapshot.at)


def _cumulative(metric: str) -> bool:
    return metric.endswith(("_total", "_sum", "_count"))
