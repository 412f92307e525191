"""Everything that is judged of one target in one beat: a frozen state in and out, and what it means."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from monitor import catalog, contract, health, mlnode
from monitor.detect import answers, capacity, lately, users, verdict
from monitor.detect.answers import Memories
from monitor.detect.lately import Lately
from monitor.health import Health
from monitor.model import (
    Baseline,
    Event,
    Fact,
    Finding,
    Judgement,
    OpenFinding,
    Probe,
    Ruling,
    Snapshot,
    Standing,
    State,
    Traffic,
)
from monitor.tuning import join
from monitor.tuning import judge as tuning
from monitor.tuning.advice import Accepted
from monitor.tuning.change import UNKNOWN, Past
from monitor.tuning.ruling import Rulebook


@dataclass(frozen=True, slots=True)
class Terms:
    """What judging needs to know of the settings."""

    target: str
    profiles: tuple[str, ...]
    policy: verdict.Policy
    patience: health.Patience
    book: Rulebook


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered between beats."""

    health: Health = field(default_factory=Health)
    answers: Memories = ()
    arms: verdict.Arms = ()
    ruler: verdict.Ruler | None = None
    baseline: Baseline | None = None
    users: capacity.Capacity = field(default_factory=capacity.Capacity)
    usual: capacity.Usual | None = None
    had: Lately = field(default_factory=Lately)
    then: tuple[Traffic, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """What one beat saw: the look, probes finished since, settings known, what is served, who runs.

    Of the settings also which values were accepted, and how they changed before; `events` may be causes, too.
    """

    snapshot: Snapshot
    probes: tuple[Probe, ...]
    facts: tuple[Fact, ...]
    model: str
    process: bool
    accepted: Accepted = ()
    past: Past = UNKNOWN
    events: tuple[Event, ...] = ()
    traffic: Traffic | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What it means: the server's state, findings, the keys that could be judged, a word on each metric and rule.

    Beside a regression, found or open, also how users' own figures stand.
    """

    state: State
    findings: tuple[Finding, ...]
    keys: frozenset[str]
    judgements: tuple[Judgement, ...]
    rulings: tuple[Ruling, ...] = ()
    users: tuple[Standing, ...] = ()


def fresh(terms: Terms, *, seen: bool, probes: Iterable[Probe] = (), traffic: Iterable[Traffic] = ()) -> Memory:
    """Give the memory of a process that begins; `seen` whether the server ever answered.

    `probes` and `traffic` are the last that were stored.
    """
    said = answers.step(answers.fresh(terms.profiles), probes)
    past = lately.step(Lately(), traffic)
    return Memory(Health(seen=seen), said, verdict.fresh(terms.profiles), had=past)


def against(memory: Memory, baseline: Baseline | None, stored: Iterable[Probe], terms: Terms) -> Memory:
    """Take a baseline up; what was stored since it is replayed: a process that never stopped says the same."""
    arms = verdict.fresh(terms.profiles)
    if baseline is None:
        return replace(memory, arms=arms, ruler=None, baseline=None, usual=None, then=())
    ruler = verdict.ruler(baseline, terms.policy)
    arms = verdict.step(arms, ruler, verdict.comparable(baseline, stored), terms.policy)
    usual, then = capacity.usual(baseline), users.known(baseline)
    return replace(memory, arms=arms, ruler=ruler, baseline=baseline, usual=usual, then=then)


def judge(memory: Memory, seen: Seen, open_findings: Iterable[OpenFinding], terms: Terms) -> tuple[Memory, Judged]:
    """Judge one beat."""
    entries = tuple(open_findings)
    memory = replace(memory, had=lately.step(memory.had, _traffic(seen)))
    memory, judged = _judged(memory, seen, entries, terms)
    changes = (*join.happened(seen.past, seen.facts, seen.events), *memory.had.turns)
    findings = join.join(judged.findings, entries, changes, seen.snapshot.at)
    slow = [entry.since for entry in entries if entry.finding.kind == "regression"]
    slow += [one.onset for one in findings if one.kind == "regression" and one.onset is not None]
    support = beside(memory, seen, max(slow)) if slow else ()
    return memory, replace(judged, findings=findings, users=support)


def beside(memory: Memory, seen: Seen, since: float) -> tuple[Standing, ...]:
    """Say how users' figures since a moment stand against the baseline's, if it is of what is served."""
    if verdict.incomparable(memory.baseline, seen.model):
        return ()
    return users.standings(memory.had.recent, memory.then, since, seen.snapshot.at, _moved(memory, seen.facts))


def _judged(memory: Memory, seen: Seen, entries: tuple[OpenFinding, ...], terms: Terms) -> tuple[Memory, Judged]:
    target, baseline = terms.target, memory.baseline
    memory = replace(
        memory,
        health=health.remembered(memory.health, seen.snapshot, seen.probes),
        answers=answers.step(memory.answers, seen.probes),
    )
    well = health.judge(memory.health, target, seen.snapshot, terms.patience, process=seen.process)
    node = mlnode.judge(target, seen.facts, terms.patience.opens_after)
    said = answers.judge(memory.answers, target, baseline, terms.policy.opens_after)
    tuned = tuning.judge(target, seen.facts, baseline, terms.book, seen.accepted, entries, seen.past)
    found = (*well.findings, *node.findings, *said.findings, *tuned.findings)
    keys = well.judged | node.judged | said.judged | tuned.keys
    if baseline is None:  # nothing is left to compare with: what was found by comparing ends with it
        keys |= {entry.finding.key for entry in entries if entry.finding.kind == "regression"}
    reason = verdict.incomparable(baseline, seen.model)
    ruler = memory.ruler
    if reason or ruler is None or baseline is None:
        unjudged = verdict.unjudged(terms.profiles, reason)
        return memory, Judged(well.state, found, keys, unjudged, tuned.rulings)
    probes = verdict.comparable(baseline, seen.probes)
    usual = expected(memory, seen.facts)
    memory = replace(memory, users=capacity.step(memory.users, _traffic(seen), usual))
    lost, sure = capacity.judge(memory.users, target, usual, terms.policy.opens_after)
    memory = replace(memory, arms=verdict.step(memory.arms, ruler, probes, terms.policy))
    speed = verdict.judge(memory.arms, target, ruler, seen.snapshot.at, terms.policy)
    return memory, Judged(
        well.state, (*found, *lost, *speed.findings), keys | sure | speed.judged, speed.judgements, tuned.rulings
    )


def _traffic(seen: Seen) -> tuple[Traffic, ...]:
    return (seen.traffic,) if seen.traffic else ()


def expected(memory: Memory, facts: Iterable[Fact]) -> capacity.Usual | None:
    """Give what is usual for users, unless vLLM began to count their TTFT from elsewhere since the baseline."""
    return None if catalog.USERS_TTFT in _moved(memory, facts) else memory.usual


def _moved(memory: Memory, facts: Iterable[Fact]) -> Mapping[str, str]:
    then, now = (_version(known) for known in (memory.baseline.facts if memory.baseline else (), facts))
    return contract.moved(then, now)


def _version(facts: Iterable[Fact]) -> str:
    return next((fact.value or "" for fact in facts if fact.name == catalog.VERSION), "")
