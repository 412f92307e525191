"""Whether a server still answers what it answered: garbage pages, a difference only informs.

Answers at temperature 0 to the same words are compared by digest, then by their words: batching may change the last
bits of a sum and with them a word, so that another answer is no wrong one. What looks like no language at all is one,
unless the baseline's own answer looked like that (random weights).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median

from monitor.model import Answer, Baseline, Finding, Probe

STREAK = 3
"""Answers in a row that must say the same."""
KEPT = 5
"""Different answers of one profile that a baseline keeps, the most frequent ones."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The last answers of one profile, and whether it ever answered well."""

    profile: str
    last: tuple[Probe, ...] = ()
    was_well: bool = False


Memories = tuple[Memory, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with the answers, and the keys that could be judged."""

    findings: tuple[Finding, ...]
    judged: frozenset[str]


def answers(probes: Iterable[Probe]) -> tuple[Answer, ...]:
    """Give the most frequent answers of each profile and version; of one that cannot be compared only its fault."""
    counts = Counter(_answer(probe) for probe in probes if probe.outcome == "ok" and probe.answer)
    kept: Counter[tuple[str, str]] = Counter()
    found = []
    for answer, _ in counts.most_common():
        kept[answer.profile, answer.version] += 1
        if kept[answer.profile, answer.version] <= KEPT:
            found.append(answer)
    return tuple(found)


def fresh(profiles: Iterable[str]) -> Memories:
    """Give the state before the first probe."""
    return tuple(Memory(profile) for profile in profiles)


def step(memories: Memories, probes: Iterable[Probe]) -> Memories:
    """Take finished probes in, in time order."""
    for probe in probes:
        if probe.outcome == "ok" and probe.answer:
            memories = tuple(_fed(one, probe) if one.profile == probe.profile else one for one in memories)
    return memories


def judge(memories: Memories, target: str, baseline: Baseline | None, hold: float) -> Verdict:
    """Say what the last answers mean; `hold` is the seconds of evidence before garbage opens."""
    findings, judged = [], set[str]()
    for memory in memories:
        keys = _judged(memory, target)
        if keys:
            known = _known(memory, baseline)
            broken = _broken(memory, target, known, hold)
            other = None if broken else _different(memory, target, known)
            findings += [finding for finding in (broken, other) if finding]
            judged |= keys
    return Verdict(tuple(findings), frozenset(judged))


def _answer(probe: Probe) -> Answer:
    if probe.fixed:
        return Answer(probe.profile, probe.version, probe.answer, probe.words, probe.fault)
    return Answer(probe.profile, probe.version, "", (), probe.fault)


def _fed(memory: Memory, probe: Probe) -> Memory:
    return Memory(memory.profile, (*memory.last, probe)[-STREAK:], memory.was_well or not probe.fault)


def _judged(memory: Memory, target: str) -> set[str]:
    """Name the keys on which the last answers agree; a mixture is neither trouble nor recovery."""
    if len(memory.last) < STREAK or len({bool(probe.fault) for probe in memory.last}) > 1:
        return set()
    return {_key(target, memory.profile, what) for what in ("garbage", "garbage:info", "other")}


def _known(memory: Memory, baseline: Baseline | None) -> list[Answer]:
    """Give what a baseline knows of a profile, the most frequent answer first; of another model it knows nothing."""
    if baseline is None or any(probe.model != baseline.context.model for probe in memory.last):
        return []
    return [one for one in baseline.answers if one.profile == memory.profile]


def _broken(memory: Memory, target: str, known: list[Answer], hold: float) -> Finding | None:
    fault = memory.last[-1].fault
    if not all(probe.fault for probe in memory.last) or (known and known[0].fault):
        return None
    sure = bool(known) or memory.was_well
    doubt = "" if sure else "; no better answer of it is known"
    return Finding(
        key=_key(target, memory.profile, "garbage" if sure else "garbage:info"),
        kind="health",
        severity="critical" if sure else "info",
        subject=f"{memory.profile} answers",
        group=f"answers:{target}",
        summary=f"{target}: the last {STREAK} answers are garbage ({fault}), profile {memory.profile}{doubt}",
        remedy="users get such answers too, with HTTP 200: take the server out of service and restart it"
        if sure
        else "if its weights are random this is right; else restart it, then capture a baseline",
        hold=hold,
        onset=memory.last[0].at,
        observed=fault,
    )


def _different(memory: Memory, target: str, known: list[Answer]) -> Finding | None:
    """Find that none of the last answers is one that the baseline knows for the same words."""
    comparable = {one.digest: one for one in known if one.digest and one.version == memory.last[-1].version}
    same_ask = all(probe.fixed and probe.version == memory.last[-1].version for probe in memory.last)
    if not comparable or not same_ask or any(probe.answer in comparable for probe in memory.last):
        return None
    alike = median(max(_alike(probe.words, one.words) for one in comparable.values()) for probe in memory.last)
    return Finding(
        key=_key(target, memory.profile, "other"),
        kind="health",
        severity="info",
        subject=f"{memory.profile} answers",
        group=f"answers:{target}",
        summary=f"{target}: answers differ from the baseline's: {alike:.0%} of the words are the same, "
        f"profile {memory.profile}",
        remedy="another batch size, kernel or image can do that; so do other weights or wrong settings: read an answer",
        hold=0.0,
        observed=f"{alike:.3f}",
        expected="1",
        evidence={"words_alike_ratio": alike},
    )


def _alike(some: tuple[int, ...], others: tuple[int, ...]) -> float:
    """Give the share of words that two answers have in common, in order."""
    return SequenceMatcher(None, some, others, autojunk=False).ratio()


def _key(target: str, profile: str, what: str) -> str:
    return f"health:{target}:answers:{profile}:{what}"
