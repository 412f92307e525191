"""Rules against facts: each is met, not met, or unreadable, which is neither and says what it needs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitor.model import Condition, Fact, Rule, Ruling, Severity
from monitor.tuning.derived import complete
from monitor.tuning.rule import NOTHING, IncomparableError, met

ALWAYS = ("host", "vllm")
AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the guides say of a fact that no rule wants a value of.

    A `compared` one should be as it was when the baseline was captured, and its severity says how grave it is if it is
    not; any other fact is compared at severity info. A `reported` one is shown and never judged.
    """

    fact: str
    severity: Severity
    why: str
    fix: str
    guide: str


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules and standings in force; `found` names, per profile, the facts of which one shows that it is meant."""

    rules: tuple[Rule, ...]
    found: Mapping[str, tuple[str, ...]]
    chosen: frozenset[str] = frozenset({AUTO})
    compared: Mapping[str, Standing] = field(default_factory=dict)
    reported: Mapping[str, Standing] = field(default_factory=dict)


def rulings(book: Rulebook, facts: Iterable[Fact]) -> tuple[Ruling, ...]:
    """Give the outcome of each rule of the profiles that are meant here; of a fact that nobody looked at, nothing.

    Rules may ask of what follows from the facts as well as of the facts themselves.
    """
    known = {fact.name: fact for fact in complete(facts)}
    profiles = meant(book, known)
    every = (_ruling(rule, known) for rule in book.rules if rule.profile in profiles)
    return tuple(one for one in every if one is not None)


def meant(book: Rulebook, known: Mapping[str, Fact]) -> frozenset[str]:
    """Name the profiles that apply: those chosen and, for "auto", those of which something is found here."""
    if AUTO not in book.chosen:
        return book.chosen
    found = (name for name, signs in book.found.items() if any(_there(known.get(sign)) for sign in signs))
    return frozenset((*book.chosen, *ALWAYS, *found))


def _there(fact: Fact | None) -> bool:
    return fact is not None and fact.value is not None and fact.value not in NOTHING


def _ruling(rule: Rule, known: Mapping[str, Fact]) -> Ruling | None:
    """Ask the conditions first: one that is known not to be met settles it, even where another cannot be read."""
    asked = [_asked(rule, condition, known) for condition in rule.where]
    for one in asked:
        if one is not None and one.outcome == "mismatch":
            return Ruling(rule, "elsewhere")
    for one in asked:
        if one is None or one.outcome == "unreadable":
            return None if _only_if_set(rule) else one
    return _asked(rule, rule.ask, known)


def _only_if_set(rule: Rule) -> bool:
    """Tell whether a rule speaks of what should not be there only where it is: unreadable, there is nothing to say."""
    return rule.ask.op == "absent" and Condition(rule.ask.fact, "present") in rule.where


def _asked(rule: Rule, condition: Condition, known: Mapping[str, Fact]) -> Ruling | None:
    fact = known.get(condition.fact)
    if fact is None:
        return None
    if fact.value is None:
        return Ruling(rule, "unreadable", "", fact.path, fact.why)
    try:
        holds = met(condition, fact.value)
    except IncomparableError as error:
        return Ruling(rule, "unreadable", "", fact.path, str(error))
    return Ruling(rule, "match" if holds else "mismatch", fact.value, fact.path)
