"""Capturing a baseline: from probes sent now or from history; refused, with the reasons, when it would mislead."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from monitor import catalog
from monitor.canary.canary import WARMUP, Canary
from monitor.detect.answers import answers
from monitor.detect.calibrate import HUMBLE_EFFECT, HUMBLE_SPAN, resolves
from monitor.detect.ruler import MIN_SAMPLES, Policy, ruler
from monitor.detect.steady import drifted, independent
from monitor.detect.strata import figure, lagged, series, title, unusable
from monitor.model import Baseline, Context, Fact, Probe, Series
from monitor.stats import quantile
from monitor.tuning.change import Change

EXTRAS = 3
"""Probes of each profile that is captured beside those that are watched."""
HANGING = 3
"""So many time-outs in a row are a server that hangs."""
MOST_FAILED = 0.05
"""A larger share of failed probes makes the sample a sample of trouble."""
MOST_UNUSABLE = 0.5
"""A larger share of probes that could not be judged means that the rest were picked by chance."""
IDENTITY = (catalog.MODEL, catalog.VERSION, catalog.MODEL_ROOT, catalog.MAX_MODEL_LEN)
"""Facts that must not change while a baseline is captured."""


class CaptureError(Exception):
    """The sample makes no baseline; the text gives every reason."""


async def probes(
    canary: Canary, profile: str, requests: int, rate: float, done: Callable[[Probe], None]
) -> tuple[Probe, ...]:
    """Send warm-up probes and then `requests` that count, `rate` a second at most; `done` is told each of those.

    A probe that our own loop's lag spoiled does not count; at most as many again are sent in the place of such. Of a
    server that hangs no more is asked than it takes to know that.
    """
    warming: list[Probe] = []
    while len(warming) < WARMUP:
        warming.append(await canary.probe(profile))
        if hangs(warming):
            return tuple(warming)
    kept: list[Probe] = []
    counted = 0
    while counted < requests and len(kept) < 2 * requests and not hangs(kept):
        began = time.perf_counter()
        probe = await canary.probe(profile)
        kept.append(probe)
        if not lagged(probe):
            counted += 1
            done(probe)
        await asyncio.sleep(max(0.0, 1 / rate - (time.perf_counter() - began)))
    return tuple(kept)


def hangs(kept: Sequence[Probe]) -> bool:
    """Say whether the last probes all ran out of time."""
    return len(kept) >= HANGING and all(probe.outcome == "timeout" for probe in kept[-HANGING:])


async def extras(canary: Canary, profiles: Iterable[str], done: Callable[[Probe], None]) -> tuple[Probe, ...]:
    """Send a few probes of the profiles that are not watched: what caching and other prompts do is then known."""
    kept: list[Probe] = []
    for profile in profiles:
        for _ in range(0 if hangs(kept) else EXTRAS):
            kept.append(await canary.probe(profile))
            done(kept[-1])
    return tuple(kept)


def make(  # what a baseline is made of
    name: str,
    context: Context,
    sample: Sequence[Probe],
    facts: tuple[Fact, ...],
    changed: Iterable[Change],
    at: float,
    beside: Sequence[Probe] = (),
    users: tuple[Series, ...] = (),
) -> Baseline:
    """Make a baseline of a sample, unless what changed meanwhile or the sample itself forbids it.

    `beside` are probes of other profiles, and `users` what users had meanwhile: both are kept and forbid nothing.

    Raises:
        CaptureError: with every reason.
    """
    sample = counted(sample)
    reasons = _of_sample(sample)
    reasons += [f"{change} meanwhile" for change in changed if change.fact in IDENTITY]
    if reasons:
        raise CaptureError("no baseline was captured: " + "; ".join(reasons))
    everything = (*sample, *beside)
    return Baseline(name, context, at, (*series(everything), *users), facts, answers=answers(everything))


def counted(sample: Iterable[Probe]) -> tuple[Probe, ...]:
    """Leave out what went well while warming up; a failure counts whenever it happens."""
    return tuple(probe for probe in sample if not probe.warmup or probe.outcome != "ok")


def _of_sample(sample: Sequence[Probe]) -> list[str]:
    failed = [probe for probe in sample if probe.outcome != "ok"]
    doubtful = [probe for probe in sample if probe.outcome == "ok" and unusable(probe)]
    biggest = max((len(one.values) for one in series(sample)), default=0)
    reasons = []
    if len(failed) > MOST_FAILED * len(sample):
        last = failed[-1]
        reasons.append(f"{len(failed)} of {len(sample)} probes failed (last: {last.outcome}: {last.detail})")
    if len(doubtful) > MOST_UNUSABLE * len(sample):
        reasons.append(f"{len(doubtful)} of {len(sample)} probes could not be used: {_why_unusable(doubtful)}")
    reasons += _unsteady(sample)
    if not reasons and biggest < MIN_SAMPLES:
        reasons.append(f"{biggest} comparable probes are too few: {MIN_SAMPLES} are needed, raise --requests or --last")
    return reasons


def _unsteady(sample: Sequence[Probe]) -> list[str]:
    return [
        f"the server is not steady: {title(one.metric)} changed by {by:+.0%} from the first half to the second "
        f"({one.stratum}); wait until it is, or take more time"
        for one in series(sample)
        if (by := drifted(one.values)) is not None
    ]


def _why_unusable(doubtful: Sequence[Probe]) -> str:
    late = [probe.lag for probe in doubtful if lagged(probe)]
    if not late:
        return unusable(doubtful[-1])
    return (
        f"the monitor's own loop lagged by up to {max(late) * 1e3:.0f} ms, so the figures would be its own; "
        "free some CPU for it, or run it on another machine"
    )


@dataclass(frozen=True, slots=True)
class Latency:
    """One latency of a benchmark, in milliseconds; None where nothing was measured."""

    mean: float | None
    median: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The table that users of `vllm bench serve` know."""

    completed: int
    failed: int
    duration: float
    total_input_tokens: int
    total_output_tokens: int
    ttft: Latency
    tpot: Latency
    itl: Latency


@dataclass(frozen=True, slots=True)
class Medians:
    """The medians of one profile's probes, in seconds but for the ratio; None where nothing was measured."""

    profile: str
    completed: int
    failed: int
    ttft: float | None
    tpot: float | None
    itl_max: float | None
    cold_ttft: float | None
    warm_ratio: float | None
    detail: str


def medians(sample: Iterable[Probe]) -> tuple[Medians, ...]:
    """Summarise probes by profile, in the order in which they come."""
    by_profile: dict[str, list[Probe]] = {}
    for probe in sample:
        by_profile.setdefault(probe.profile, []).append(probe)
    return tuple(_medians(profile, probes) for profile, probes in by_profile.items())


def _medians(profile: str, sample: Sequence[Probe]) -> Medians:
    good = [probe for probe in sample if probe.outcome == "ok"]

    def middle(metric: str) -> float | None:
        known = [value for probe in good if (value := getattr(probe, metric)) is not None]
        return median(known) if known else None

    return Medians(
        profile=profile,
        completed=len(good),
        failed=len(sample) - len(good),
        ttft=middle("ttft"),
        tpot=middle("tpot"),
        itl_max=middle("itl_max"),
        cold_ttft=middle("cold_ttft"),
        warm_ratio=middle("warm_ratio"),
        detail=next((probe.detail for probe in sample if probe.outcome != "ok"), ""),
    )


def benchmark(sample: Sequence[Probe]) -> Benchmark:
    """Summarise probes as `vllm bench serve` does: ITL over all gaps, the others over requests."""
    good = [probe for probe in sample if probe.outcome == "ok"]
    ends = [probe.at + (probe.e2e or 0.0) for probe in sample]
    return Benchmark(
        completed=len(good),
        failed=len(sample) - len(good),
        duration=max(ends) - min(probe.at for probe in sample) if sample else 0.0,
        total_input_tokens=sum(probe.prompt_tokens or 0 for probe in good),
        total_output_tokens=sum(probe.output_tokens or 0 for probe in good),
        ttft=_latency([probe.ttft for probe in good]),
        tpot=_latency([probe.tpot for probe in good]),
        itl=_latency([gap for probe in good for gap in probe.itls]),
    )


def _latency(values: Iterable[float | None]) -> Latency:
    known = [value * 1e3 for value in values if value is not None]
    return Latency(fmean(known), median(known), quantile(known, 0.99)) if known else Latency(None, None, None)


def resolution(baseline: Baseline, policy: Policy) -> list[str]:
    """Say what a baseline can detect, per profile and metric, and what keeps it humble."""
    measure = ruler(baseline, policy)
    lines = [
        f"{title(one.metric)} {figure(one.metric, median(one.values))} ({one.stratum}): {len(one.values)} probes, "
        f"worth {independent(one.values):.0f} independent ones"
        for one in baseline.series
        if (one.metric, one.stratum) in measure.trees
    ]
    for (profile, metric), calibration in sorted(measure.calibrations.items()):
        lines.append(f"{profile} {title(metric)}: sees {_sight(resolves(calibration, policy.shortest))}")
    if any(one.humble for one in measure.calibrations.values()):
        lines.append(
            f"captured in less than {HUMBLE_SPAN / 3600:.0f} h, or not every {policy.every:g} s as watched: "
            f"effects below {HUMBLE_EFFECT:.0%} only inform"
        )
    return lines


def _sight(pairs: Sequence[tuple[float, float]]) -> str:
    """Say the quickest and the smallest that can be seen."""
    shown = [pairs[0], *pairs[1:][-1:]]
    return ", ".join(f"{effect:+.0%} within {seconds / 60:.3g} min" for effect, seconds in shown)
