"""The judgement of latencies: each metric of each profile against the baseline, as findings in words.

docs/detection.md says for operators what it promises, tests/bench/detection.py whether it keeps that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import exp

from monitor.detect.answers import answers
from monitor.detect.arm import Arm, Found, fed, lately
from monitor.detect.calibrate import FLOOR, HUMBLE_EFFECT, HUMBLE_SPAN
from monitor.detect.ruler import MIN_SAMPLES, Policy, Ruler, ruler
from monitor.detect.strata import RATIOS, metrics, series, title, unit
from monitor.model import Baseline, Context, Fact, Finding, Judgement, Probe, Severity

__all__ = (
    "FLOOR", "HUMBLE_EFFECT", "HUMBLE_SPAN", "MIN_SAMPLES",
    "Arms", "Policy", "Ruler", "Verdict",
    "comparable", "fresh", "incomparable", "judge", "provisional", "ruler", "step", "unjudged",
)  # fmt: skip

SEVERE_EFFECT = 0.50
"""From this effect on the finding is critical."""

Arms = tuple[Arm, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one step of judging gives: findings, the keys that could be judged, and a word on each metric."""

    findings: tuple[Finding, ...]
    judged: frozenset[str]
    judgements: tuple[Judgement, ...]


def fresh(profiles: Iterable[str]) -> Arms:
    """Give the state before the first probe."""
    return tuple(Arm(metric, profile) for profile in profiles for metric in metrics(profile))


def step(arms: Arms, against: Ruler, probes: Iterable[Probe], policy: Policy) -> Arms:
    """Take finished probes in, in time order; whole state in, whole state out."""
    for probe in probes:
        arms = tuple(fed(arm, against, probe, policy) if arm.profile == probe.profile else arm for arm in arms)
    return arms


def comparable(baseline: Baseline, probes: Iterable[Probe]) -> Iterator[Probe]:
    """Keep the probes that a baseline may judge, one by one: of its model, and sent after it was captured."""
    since, model = baseline.captured_at, baseline.context.model
    return (probe for probe in probes if probe.at >= since and probe.model == model)


def judge(arms: Arms, target: str, against: Ruler, at: float, policy: Policy) -> Verdict:
    """Say what the state means at a moment: silence longer than `stale_after` is neither a finding nor a recovery."""
    reasons = [(arm, _unjudged(arm, at, policy)) for arm in arms]
    judgements = tuple(
        Judgement(arm.metric, arm.profile, None, reason)
        if reason
        else Judgement(arm.metric, arm.profile, _ratio(arm, policy), "", arm.expected)
        for arm, reason in reasons
    )
    judged = {_key(target, arm, info=info) for arm, reason in reasons if not reason for info in (True, False)}
    findings = tuple(
        _finding(arm, arm.found, target, against, policy) for arm, reason in reasons if arm.found and not reason
    )
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


def _unjudged(arm: Arm, at: float, policy: Policy) -> str:
    if arm.usable_at is None:
        return arm.why
    if at - arm.usable_at > policy.stale_after:
        return arm.why or "no probes lately"
    return "" if arm.found or lately(arm, policy) is not None else f"fewer than {policy.shortest} probes yet"


def _ratio(arm: Arm, policy: Policy) -> float | None:
    change = lately(arm, policy)
    return None if change is None else exp(change)


def _severity(found: Found, against: Ruler) -> Severity:
    if against.provisional or not found.pages:
        return "info"
    return "critical" if exp(found.worst) - 1 >= SEVERE_EFFECT else "warning"


def _key(target: str, arm: Arm, *, info: bool) -> str:
    # An effect that grows beyond info is a finding of its own, so that growing is told like opening.
    return f"regression:{target}:{arm.profile}:{arm.metric}" + (":info" if info else "")


def _shown(metric: str, expected: float, now: float) -> str:
    if metric in RATIOS:
        return f"{title(metric)} {expected:.2f} → {now:.2f}"
    return f"{title(metric)} {expected * 1e3:.3g} → {now * 1e3:.3g} ms"


def _finding(arm: Arm, found: Found, target: str, against: Ruler, policy: Policy) -> Finding:
    expected = arm.expected or 0.0
    change = (_ratio(arm, policy) or exp(found.worst)) - 1
    now = expected * (1 + change)
    severity = _severity(found, against)
    spawned = "; it spawned slow: so since its restart" if found.spawned is not None else ""
    restart = {"restarted_at": found.spawned} if found.spawned is not None else {}
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
        onset=found.since,
        observed=f"{now:.6g}",
        expected=f"{expected:.6g}",
        evidence={
            "effect": f"{arm.profile} {title(arm.metric)} {change:+.0%}",
            "change_ratio": change,
            "probes": float(sum(at >= found.since for at in arm.track.times)),
            "transients": float(arm.sieve.transients),
            "unit": unit(arm.metric),
            **restart,
        },
    )
