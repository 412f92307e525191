"""vLLM's samples as our readings: the names of every release, merged per engine by what they mean."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor import catalog
from monitor.collect.exposition import Sample
from monitor.model import Load, Reading, labels
from monitor.vllm_names import (
    AWAKE,
    CONFIG,
    GENERATION_TOKENS,
    HIT_RATE,
    KV_USAGE,
    PREFIX_HITS,
    PREFIX_QUERIES,
    PROMPT_TOKENS,
    QUANTITIES,
    RUNNING,
    STEPS,
    SWAPPED,
    WAITING,
    Quantity,
    version,
)

START = "process_start_time_seconds"
ONE_ENGINE = "0"
"""How an engine is named that has no name: V0's, and V1's before 0.8.3."""
TOKENS_SINCE = (0, 9, 0)
"""Since this version the prefix cache counts tokens; before, blocks."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One of our metrics, the samples that it may be read from, newest first, and how samples of one engine merge.

    Counters of several series add up. Gauges do not: several processes each export their copy (`pid` label) of one
    engine's figure, and a copy may be old.
    """

    metric: str
    samples: tuple[str, ...]
    merge: Callable[[Iterable[float]], float] = sum


def figures(quantity: Quantity) -> tuple[Figure, ...]:
    """Give what is read of a quantity: of a histogram its sum and its count, never its buckets."""
    names = tuple(name.family for name in quantity.names)
    counts = tuple(f"{name}_count" for name in names)
    if quantity is STEPS:
        return (Figure(quantity.ours, counts),)
    if quantity.kind == "histogram":
        sums = tuple(f"{name}_sum" for name in names)
        return (Figure(f"{quantity.ours}_sum", sums), Figure(f"{quantity.ours}_count", counts))
    return (Figure(quantity.ours, names, max if quantity.kind == "gauge" else sum),)


PREFIX = (PREFIX_QUERIES, PREFIX_HITS)
LOAD = tuple(figures(quantity)[0] for quantity in (RUNNING, WAITING, KV_USAGE, STEPS, PROMPT_TOKENS, GENERATION_TOKENS))
DIRECT = tuple(
    figure for quantity in QUANTITIES if quantity not in {*PREFIX, AWAKE, CONFIG} for figure in figures(quantity)
)
WANTED = frozenset(name for quantity in QUANTITIES for figure in figures(quantity) for name in figure.samples) | {
    HIT_RATE,
    SWAPPED,
    START,
}
FAMILIES = {
    name: (quantity.names[index].family, quantity.kind)
    for quantity in QUANTITIES
    for figure in figures(quantity)
    for index, name in enumerate(figure.samples)
} | {HIT_RATE: (HIT_RATE, "gauge"), SWAPPED: (SWAPPED, "gauge")}
"""Which family, of which kind, a wanted sample is of."""
WANTED_LOAD = frozenset(name for figure in LOAD for name in figure.samples)


def readings(samples: Sequence[Sample], told: str, at: float) -> tuple[Reading, ...]:
    """Translate one look at a server of a version; what the server does not export is absent."""
    found = [Reading(catalog.VLLM_UP, 1.0, at)]
    for figure in DIRECT:
        found += _read(samples, figure, at)
    found += _prefix_cache(samples, told, at)
    awake = [sample for sample in samples if sample.labels.get("sleep_state", "awake") == "awake"]
    found += _read(awake, figures(AWAKE)[0], at)
    starts = [sample.value for sample in samples if sample.name == START]
    return (*found, *(Reading(catalog.VLLM_START, start, at) for start in starts if len(starts) == 1))


def load(samples: Sequence[Sample]) -> Load | None:
    """Add up what the engines are busy with; None if that is not told."""
    running, waiting, usage, steps, prompt, generation = (list(by_engine(samples, one).values()) for one in LOAD)
    if not running:
        return None
    return Load(
        running=sum(running),
        waiting=sum(waiting),
        kv_usage=max(usage, default=None),
        steps=sum(steps) if steps else None,
        tokens=sum(prompt) + sum(generation) if prompt and generation else None,
    )


def by_engine(samples: Sequence[Sample], figure: Figure) -> Mapping[str, float]:
    """Give a figure of each engine, from the newest of its names that is there."""
    named = {name: [sample for sample in samples if sample.name == name] for name in figure.samples}
    present = [found for found in named.values() if found]
    # While both names were there, 0.9.2 to 0.10, the new one had a copy per process, and the old one the newest.
    single = [found for found in present if not any("pid" in sample.labels for sample in found)]
    engines = dict[str, list[float]]()
    for sample in next(iter(single or present), []):
        engines.setdefault(engine_of(sample), []).append(sample.value)
    return {engine: figure.merge(values) for engine, values in sorted(engines.items())}


def engine_of(sample: Sample) -> str:
    """Name the engine that a sample is of."""
    return sample.labels.get("engine", ONE_ENGINE)


def config(samples: Sequence[Sample]) -> tuple[Mapping[str, str], ...]:
    """Give the visible cache settings of each engine, in the order of the engines."""
    found = {engine_of(sample): sample.labels for sample in samples if sample.name == CONFIG.names[0].family}
    return tuple(settings for _, settings in sorted(found.items()))


def _read(samples: Sequence[Sample], figure: Figure, at: float, unit: float = 1.0) -> Iterable[Reading]:
    for engine, value in by_engine(samples, figure).items():
        yield Reading(figure.metric, value * unit, at, labels(engine=engine))


def _prefix_cache(samples: Sequence[Sample], told: str, at: float) -> Iterable[Reading]:
    unit = _tokens_per_count(samples, told)
    if unit is not None:
        for quantity in PREFIX:
            yield from _read(samples, figures(quantity)[0], at, unit)
    rates = [sample.value for sample in samples if sample.name == HIT_RATE]
    if rates and max(rates) >= 0:  # -1 says that caching is off
        yield Reading(catalog.PREFIX_REPORTED, max(rates), at, labels(engine=ONE_ENGINE, window="lifetime"))


def _tokens_per_count(samples: Sequence[Sample], told: str) -> float | None:
    """Give the tokens that one count of the prefix counters stands for; None where that cannot be known."""
    known, settings = version(told), next(iter(config(samples)), {})
    names = {sample.name for sample in samples}
    # Names, and the engine's label in the settings, came with the tokens or after them.
    if names & {quantity.names[0].family for quantity in PREFIX} or "engine" in settings:
        return 1.0
    if known and known >= TOKENS_SINCE:
        return 1.0
    size = settings.get("block_size", "")
    return float(size) if known and size.isdecimal() else None
