"""The node as the kernel shows it: tuning settings and contention counters, read from files below given roots."""

from monitor import catalog
from monitor.collect.host import knobs, numa, state
from monitor.collect.host.counters import counters
from monitor.collect.host.cpus import clock, online
from monitor.collect.host.files import Roots
from monitor.collect.host.idle import idle
from monitor.model import Fact, Reading, labels

__all__ = ("Roots", "look")  # what others take from here though it is made elsewhere


def look(roots: Roots, at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Give what can be read of the node now; what cannot be read is a fact without value and never a reading."""
    cpus = online(roots)
    clocks, governors = clock(roots, cpus)
    settings = knobs.facts(roots)
    nodes = numa.nodes(roots)
    readings = (
        *(Reading(catalog.GOVERNOR_CPUS, float(n), at, labels(governor=name)) for name, n in sorted(governors.items())),
        *knobs.levels(settings, at),
        *counters(roots, nodes, at),
    )
    facts = (
        *clocks,
        idle(roots, cpus),
        *settings,
        nodes,
        numa.cpus(roots, nodes),
        numa.accelerators(roots),
        state.swap(roots),
        state.irqbalance(roots),
        state.isolated(roots),
        state.mitigations(roots),
    )
    return readings, facts
