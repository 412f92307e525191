"""The first judgement: disjoint blocks of probes against the baseline, with an effect gate that the baseline sets.

A block of successive probes is slow if the median of their ratios to the baseline reaches the gate. Two slow blocks
in a row are a finding; it ends after two blocks in a row that are not. State goes in and comes out as a frozen value.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from monitor.detect.answers import answers
from monitor.detect.strata import RATIOS, metrics, series, stratum, title, unit, unusable
from monitor.model import Baseline, Context, Fact, Finding, Judgement, Probe, Series, Severity
from monitor.stats import block_medians, quantile

BLOCK = 5
"""Probes in a block: the median of five outvotes two stragglers."""
STREAK = 2
"""Disjoint blocks in a row that must agree before a finding begins or ends."""
MIN_SAMPLES = 20
"""A stratum with fewer baseline samples is not judged: its spread would be a guess."""
FLOOR = 0.10
"""The smallest effect that is ever called a regression: what neither the baseline nor a user can tell is no finding."""
NOISE_MARGIN = 1.3
"""How far beyond the baseline's own slowest blocks a block must be; finite baselines understate their spread."""
HUMBLE_SPAN = 86_400.0
HUMBLE_SPREAD = 0.05
HUMBLE_EFFECT = 0.20
"""A baseline shorter than a day cannot know how hours differ: its gate is wider by a spread that healthy servers
show between hours, and below an effect of this size it only informs."""
SAME_START = 5.0
"""Seconds by which two tellings of one process's start may differ."""
SEVERE_EFFECT = 0.50
"""From this effect on the finding is critical."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a stratum of the baseline says is normal: the typical value, and the ratio from which a block is slow.

    A humble one comes from less than a day.
    """

    typical: float
    gate: float
    humble: bool


@dataclass(frozen=True, slots=True)
class Ruler:
    """A baseline made ready to measure with: a yardstick per metric and stratum that has enough samples."""

    name: str
    provisional: bool
    yardsticks: Mapping[tuple[str, str], Yardstick]


@dataclass(frozen=True, slots=True)
class Scored:
    """One probe's value beside what the baseline expects of it."""

    at: float
    value: float
    yardstick: Yardstick

    @property
    def ratio(self) -> float:
        """Now / baseline."""
        return self.value / self.yardstick.typical


@dataclass(frozen=True, slots=True)
class Arm:
    """What is remembered of one metric of one profile.

    `started` is when the server's process began, as the last probe knew it, `blocks` counts the blocks since its start
    was seen, and `spawned` is that start if those blocks were slow from the first one on.
    """

    metric: str
    profile: str
    block: tuple[Scored, ...] = ()
    last: tuple[Scored, ...] = ()
    slow: int = 0
    fine: int = 0
    onset: float | None = None
    found: bool = False
    worst: float = 1.0
    usable_at: float | None = None
    why: str = "no probes yet"
    started: float | None = None
    blocks: int | None = None
    spawned: float | None = None

    @property
    def ratio(self) -> float | None:
        """Now / baseline of the last whole block."""
        return median(scored.ratio for scored in self.last) if self.last else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one step of judging gives: findings, the keys that could be judged, and a word on each metric."""

    findings: tuple[Finding, ...]
    judged: frozenset[str]
    judgements: tuple[Judgement, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the operator chose: seconds of evidence before a finding opens, and after which silence is not judged."""

    opens_after: float
    stale_after: float


Arms = tuple[Arm, ...]


def fresh(profiles: Iterable[str]) -> Arms:
    """Give the state before the first probe."""
    return tuple(Arm(metric, profile) for profile in profiles for metric in metrics(profile))


def ruler(baseline: Baseline) -> Ruler:
    """Read from a baseline's sample what is typical in each stratum and what it can resolve."""
    yardsticks = {
        (series.metric, series.stratum): _yardstick(series)
        for series in baseline.series
        if len(series.values) >= MIN_SAMPLES and median(series.values) > 0
    }
    return Ruler(baseline.name, baseline.provisional, yardsticks)


def step(arms: Arms, against: Ruler, probes: Iterable[Probe], policy: Policy) -> Arms:
    """Take finished probes in, in time order; whole state in, whole state out."""
    for probe in probes:
        arms = tuple(_fed(arm, against, probe, policy) if arm.profile == probe.profile else arm for arm in arms)
    return arms


def comparable(baseline: Baseline, probes: Iterable[Probe]) -> tuple[Probe, ...]:
    """Keep the probes that a baseline may judge: of its model, and sent after it was captured."""
    since, model = baseline.captured_at, baseline.context.model
    return tuple(probe for probe in probes if probe.at >= since and probe.model == model)


def judge(arms: Arms, target: str, against: Ruler, at: float, policy: Policy) -> Verdict:
    """Say what the state means at a moment: silence longer than `stale_after` is neither a finding nor a recovery."""
    reasons = [(arm, _unjudged(arm, at, policy)) for arm in arms]
    judgements = tuple(
        Judgement(arm.metric, arm.profile, None if reason else arm.ratio, reason) for arm, reason in reasons
    )
    # An arm that has not seen enough since it began says neither that something is wrong nor that it is over.
    sure = [arm for arm, reason in reasons if not reason and (arm.found or arm.fine >= STREAK)]
    judged = {_key(target, arm, info=info) for arm in sure for info in (True, False)}
    findings = tuple(_finding(arm, target, against, policy) for arm, reason in reasons if arm.found and not reason)
    return Verdict(findings, frozenset(judged), judgements)


def provisional(
    name: str, context: Context, probes: Sequence[Probe], facts: tuple[Fact, ...], at: float
) -> Baseline | None:
    """Make a baseline of what a first day showed; None if nothing in it could be compared with."""
    sample = series(probes)
    enough = any(len(one.values) >= MIN_SAMPLES for one in sample)
    return Baseline(name, context, at, sample, facts, provisional=True, answers=answers(probes)) if enough else None


def incomparable(baseline: Baseline | None, model: str) -> str:
    """Say why a baseline means nothing for a server of a model ("" if not known yet); empty if it does."""
    if baseline is None:
        return "no baseline"
    known = baseline.context.model
    return "" if model in {"", known} else "the baseline is of another model"


def unjudged(profiles: Iterable[str], reason: str) -> tuple[Judgement, ...]:
    """Say for all metrics why none can be judged."""
    return tuple(Judgement(arm.metric, arm.profile, None, reason) for arm in fresh(profiles))


def _yardstick(series: Series) -> Yardstick:
    typical = median(series.values)
    humble = series.times[-1] - series.times[0] < HUMBLE_SPAN
    slowest = quantile(block_medians(series.values, BLOCK), 0.995) / typical
    spread = HUMBLE_SPREAD if humble else 0.0
    return Yardstick(typical, 1 + max(FLOOR, NOISE_MARGIN * (slowest - 1)) + spread, humble)


def _fed(arm: Arm, against: Ruler, probe: Probe, policy: Policy) -> Arm:
    why = unusable(probe)
    value = getattr(probe, arm.metric)
    arm = _respawned(arm, probe)
    if why or value is None:
        return replace(arm, why=why or "the answer was too short")
    yardstick = against.yardsticks.get((arm.metric, stratum(probe)))
    if yardstick is None:
        return replace(arm, why="the baseline has too few samples at this load")
    if arm.usable_at is not None and probe.at - arm.usable_at > policy.stale_after:
        arm = replace(arm, block=(), last=())  # what was before the silence is no neighbour of what comes after
    block = (*arm.block, Scored(probe.at, value, yardstick))
    arm = replace(arm, block=block, usable_at=probe.at, why="")
    return _closed_block(arm) if len(block) == BLOCK else arm


def _respawned(arm: Arm, probe: Probe) -> Arm:
    """Begin anew with a new process of the server: how fast it is may be settled at its start, and only then."""
    if probe.started is None or (arm.started is not None and abs(probe.started - arm.started) < SAME_START):
        return arm
    if arm.started is None and (arm.usable_at is None or probe.started <= arm.usable_at):
        return replace(arm, started=probe.started)
    slow, blocks = arm.slow if arm.found else 0, None if arm.slow or arm.found else 0
    return replace(arm, started=probe.started, block=(), last=(), slow=slow, fine=0, blocks=blocks, spawned=None)


def _closed_block(arm: Arm) -> Arm:
    block = arm.block
    ratio = median(scored.ratio for scored in block)
    gate = max(scored.yardstick.gate for scored in block)
    # Between opening and closing lies a band: a server that hovers at the gate must not flap.
    slow = ratio >= (1 + (gate - 1) / 2 if arm.found else gate)
    sure = min(ratio, arm.ratio or 1.0)
    arm = replace(arm, block=(), last=block, blocks=None if arm.blocks is None else arm.blocks + 1)
    return _after_slow(arm, sure, gate) if slow else _after_fine(arm)


def _after_slow(arm: Arm, sure: float, gate: float) -> Arm:
    """Take a slow block in; `sure` is the effect that it and the block before it both show."""
    first = next((scored.at for scored in arm.last if scored.ratio >= gate), arm.last[0].at)
    onset = arm.onset if arm.slow or arm.found else first
    slow = arm.slow + 1
    found = arm.found or slow >= STREAK
    spawned = arm.started if found and arm.blocks == slow else arm.spawned
    return replace(arm, slow=slow, fine=0, onset=onset, found=found, worst=max(arm.worst, sure), spawned=spawned)


def _after_fine(arm: Arm) -> Arm:
    fine = arm.fine + 1
    if arm.found and fine < STREAK:
        return replace(arm, slow=0, fine=fine)
    return replace(arm, slow=0, fine=fine, found=False, onset=None, worst=1.0, spawned=None)


def _unjudged(arm: Arm, at: float, policy: Policy) -> str:
    if arm.usable_at is None:
        return arm.why
    if at - arm.usable_at > policy.stale_after:
        return arm.why or "no probes lately"
    return "" if arm.last else f"fewer than {BLOCK} probes yet"


def _severity(arm: Arm, against: Ruler) -> Severity:
    effect = arm.worst - 1
    humble = any(scored.yardstick.humble for scored in arm.last)
    if against.provisional or (effect < HUMBLE_EFFECT and humble):
        return "info"
    return "critical" if effect >= SEVERE_EFFECT else "warning"


def _key(target: str, arm: Arm, *, info: bool) -> str:
    # An effect that grows beyond info is a finding of its own, so that growing is told like opening.
    return f"regression:{target}:{arm.profile}:{arm.metric}" + (":info" if info else "")


def _shown(metric: str, expected: float, now: float) -> str:
    if metric in RATIOS:
        return f"{title(metric)} {expected:.2f} → {now:.2f}"
    return f"{title(metric)} {expected * 1e3:.3g} → {now * 1e3:.3g} ms"


def _finding(arm: Arm, target: str, against: Ruler, policy: Policy) -> Finding:
    now = median(scored.value for scored in arm.last)
    expected = median(scored.yardstick.typical for scored in arm.last)
    change = (arm.ratio or 1.0) - 1
    severity = _severity(arm, against)
    spawned = "; it spawned slow: so since its restart" if arm.spawned is not None else ""
    restart = {"restarted_at": arm.spawned} if arm.spawned is not None else {}
    return Finding(
        key=_key(target, arm, info=severity == "info"),
        kind="regression",
        severity=severity,
        subject=f"{arm.profile} {arm.metric}",
        group=f"regression:{target}",
        summary=f"{target}: canary {_shown(arm.metric, expected, now)} ({change:+.0%}) "
        f"against baseline {against.name!r}, profile {arm.profile}{spawned}",
        remedy="compare what changed since then: image, arguments, host tuning, neighbours; "
        "if the new speed is intended, capture a new baseline",
        hold=policy.opens_after,
        onset=arm.onset,
        observed=f"{now:.6g}",
        expected=f"{expected:.6g}",
        evidence={
            "effect": f"{arm.profile} {title(arm.metric)} {change:+.0%}",
            "change_ratio": change,
            "probes": float(BLOCK * max(arm.slow, STREAK)),
            "unit": unit(arm.metric),
            **restart,
        },
    )
