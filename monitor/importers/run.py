"""One run of another tool, and how runs become baselines."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite

from pydantic import ValidationError

from monitor import catalog
from monitor.importers.reading import FileError
from monitor.model import Baseline, Context, Fact, Series
from monitor.settings_target import Target

UNKNOWN = "unknown"
"""The endpoint of a run that does not say where it was sent, or not without credentials."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a metric is there, and of which field it is made; where it cannot be mapped, why not and what to do."""

    text: str
    field: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what was measured at one load, of which model, where, and what the figures mean."""

    model: str
    endpoint: str
    at: float
    series: tuple[Series, ...]
    meanings: Mapping[str, Meaning]


def baselines(runs: Iterable[Run], name: str, model: str | None, tool: str, version: str | None) -> list[Baseline]:
    """Make baselines of a file's runs: one, or more where models differ or a load was run again.

    Further ones are called `name`-2 and so on. Raises FileError if there is nothing to make one of.
    """
    groups: list[list[Run]] = []
    for run in runs:
        named = replace(run, model=model or run.model)
        if not named.model:
            raise FileError("does not say which model was measured: add --model")
        if named.series:
            group = next((one for one in groups if _fits(named, one)), None)
            groups.append([named]) if group is None else group.append(named)
    if not groups:
        raise FileError(f"holds no figure of {tool} that could be used: no request succeeded")
    return [
        _baseline(group, f"{name}-{number}" if number > 1 else name, tool, version)
        for number, group in enumerate(groups, 1)
    ]


def sample(metric: str, stratum: str, rows: Iterable[tuple[float, float | None]]) -> tuple[Series, ...]:
    """Make a series of times and values, if any value is there; what is not above zero was not measured."""
    known = ((at, value) for at, value in rows if value is not None and value > 0)
    usable = sorted(pair for pair in known if all(map(isfinite, pair)))
    return (Series(metric, stratum, *map(tuple, zip(*usable, strict=True))),) if usable else ()


def endpoint(url: str | None) -> str:
    """Name an address as a baseline's endpoint; credentials are never kept."""
    try:
        return Target(url=url).endpoint if url else UNKNOWN
    except ValidationError:
        return UNKNOWN


def _fits(run: Run, group: Iterable[Run]) -> bool:
    """Tell whether a run belongs beside others: of the same server, at a load that none of them has."""
    taken = {one.stratum for other in group for one in other.series}
    same = all((run.model, run.endpoint) == (other.model, other.endpoint) for other in group)
    return same and not any(one.stratum in taken for one in run.series)


def _baseline(runs: list[Run], name: str, tool: str, version: str | None) -> Baseline:
    facts = [Fact(catalog.IMPORTED_FROM, tool), _version(tool, version)]
    meanings = {metric: meaning for run in runs for metric, meaning in run.meanings.items()}
    series = tuple(one for run in runs for one in run.series)
    there = {one.metric for one in series}
    facts += [_fact(metric, meaning, there=metric in there) for metric, meaning in meanings.items()]
    return Baseline(name, Context(runs[0].model, runs[0].endpoint), runs[-1].at, series, tuple(facts))


def _version(tool: str, version: str | None) -> Fact:
    return Fact(catalog.IMPORTED_VERSION, version, why="" if version else f"{tool} does not write its version")


def _fact(metric: str, meaning: Meaning, *, there: bool) -> Fact:
    name = catalog.IMPORTED[metric]
    if there:
        return Fact(name, meaning.text, meaning.field)
    return Fact(name, None, meaning.field, meaning.text if meaning.refused else f"the file has no {meaning.field}")
