"""Everything that is judged of one target in one beat: a frozen state in and out, and what it means."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from monitor import health, mlnode, tuning
from monitor.detect import answers, verdict
from monitor.detect.answers import Memories
from monitor.health import Health
from monitor.model import Baseline, Fact, Finding, Judgement, OpenFinding, Probe, Snapshot, State


@dataclass(frozen=True, slots=True)
class Rules:
    """What judging needs to know of the settings."""

    target: str
    profiles: tuple[str, ...]
    policy: verdict.Policy
    patience: health.Patience


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered between beats."""

    health: Health = field(default_factory=Health)
    answers: Memories = ()
    arms: verdict.Arms = ()
    ruler: verdict.Ruler | None = None
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one beat saw: the look, the probes finished since, all settings known, what is served, who runs."""

    snapshot: Snapshot
    probes: tuple[Probe, ...]
    facts: tuple[Fact, ...]
    model: str
    process: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What it means: the server's state, findings, the keys that could be judged, a word on each metric."""

    state: State
    findings: tuple[Finding, ...]
    keys: frozenset[str]
    judgements: tuple[Judgement, ...]


def fresh(rules: Rules, *, seen: bool, probes: Iterable[Probe] = ()) -> Memory:
    """Give the memory of a process that begins; `seen` whether the server ever answered, `probes` the last stored."""
    said = answers.step(answers.fresh(rules.profiles), probes)
    return Memory(Health(seen=seen), said, verdict.fresh(rules.profiles))


def against(memory: Memory, baseline: Baseline | None, stored: Iterable[Probe], rules: Rules) -> Memory:
    """Take a baseline up; what was stored since it is replayed: a process that never stopped says the same."""
    arms = verdict.fresh(rules.profiles)
    if baseline is None:
        return replace(memory, arms=arms, ruler=None, baseline=None)
    ruler = verdict.ruler(baseline)
    arms = verdict.step(arms, ruler, verdict.comparable(baseline, stored), rules.policy)
    return replace(memory, arms=arms, ruler=ruler, baseline=baseline)


def judge(memory: Memory, seen: Seen, open_findings: Iterable[OpenFinding], rules: Rules) -> tuple[Memory, Judged]:
    """Judge one beat."""
    target, baseline = rules.target, memory.baseline
    memory = replace(
        memory,
        health=health.remembered(memory.health, seen.snapshot, seen.probes),
        answers=answers.step(memory.answers, seen.probes),
    )
    well = health.judge(memory.health, target, seen.snapshot, rules.patience, process=seen.process)
    node = mlnode.judge(target, seen.facts, rules.patience.opens_after)
    said = answers.judge(memory.answers, target, baseline, rules.policy.opens_after)
    found, keys = (*well.findings, *node.findings, *said.findings), well.judged | node.judged | said.judged
    if baseline is None:
        # Nothing is left to compare with: what was found by comparing ends with it.
        keys |= {entry.finding.key for entry in open_findings if entry.finding.kind != "health"}
    else:
        found += tuning.drift(target, baseline.facts, seen.facts)
        keys |= tuning.judged(target, seen.facts)
    reason = verdict.incomparable(baseline, seen.model)
    ruler = memory.ruler
    if reason or ruler is None or baseline is None:
        return memory, Judged(well.state, found, keys, verdict.unjudged(rules.profiles, reason))
    probes = verdict.comparable(baseline, seen.probes)
    memory = replace(memory, arms=verdict.step(memory.arms, ruler, probes, rules.policy))
    speed = verdict.judge(memory.arms, target, ruler, seen.snapshot.at, rules.policy)
    return memory, Judged(well.state, (*found, *speed.findings), keys | speed.judged, speed.judgements)
