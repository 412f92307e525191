"""Operators and rulings: a fact is as a rule asks, is not, or cannot be told."""

from contextlib import suppress
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.model import Condition, Fact, OpenFinding, Operator, Rule
from monitor.tuning import judge
from monitor.tuning.rule import IncomparableError, met
from monitor.tuning.ruling import Rulebook, rulings

MET: tuple[tuple[Operator, tuple[str, ...], str], ...] = (
    ("is", ("performance",), "performance"),
    ("is", ("0.9",), "0.90"),
    ("is", ("0x1e0000000",), "0x01e0000000"),
    ("is not", ("1",), "0"),
    ("at least", ("1073741824",), "unlimited"),
    ("at most", ("1",), "0"),
    ("in range", ("50000", "100000"), "50000"),
    ("one of", ("tcmalloc", "jemalloc"), "jemalloc"),
    ("contains", ("max_split_size_mb:250", "expandable_segments:True"), "a:1,expandable_segments:True"),
    ("present", (), "2"),
    ("absent", (), "unset"),
    ("version", (">=0.10.2rc1, <0.18.0rc1",), "0.11.0rc1"),
    ("not version", (">=0.10.2rc1, <0.18.0rc1",), "0.18.0rc1"),
)
NOT_MET: tuple[tuple[Operator, tuple[str, ...], str], ...] = (
    ("is", ("performance",), "performance=63,powersave=1"),
    ("is", ("1",), "true"),
    ("is not", ("1",), "1.0"),
    ("at least", ("1073741824",), "67108864"),
    ("at most", ("1",), "60"),
    ("in range", ("50000", "100000"), "500000"),
    ("one of", ("tcmalloc", "jemalloc"), "libc"),
    ("contains", ("max_split_size_mb:250",), "max_split_size_mb:512"),
    ("present", (), "absent"),
    ("absent", (), "2"),
    ("version", (">=0.10",), "absent"),
    ("not version", (">=0.10",), "absent"),
    ("version", (">=0.33",), "0.32.0+cpu"),
)


@pytest.mark.parametrize(("op", "want", "value"), MET)
def test_met(op: Operator, want: tuple[str, ...], value: str) -> None:
    """Each operator is met by what its name says."""
    assert met(Condition("fact", op, want), value)


@pytest.mark.parametrize(("op", "want", "value"), NOT_MET)
def test_not_met(op: Operator, want: tuple[str, ...], value: str) -> None:
    """Each operator is not met by anything else."""
    assert not met(Condition("fact", op, want), value)


@pytest.mark.parametrize(
    ("op", "want", "value", "says"),
    [
        ("at least", "1", "many", "many is not a number"),
        ("version", ">=0.10", "main", "main is not a version"),
        ("version", ">=0.10", "0.1.dev17+gabc", "0.1.dev17+gabc is a build that knows no release"),
    ],
)
def test_incomparable(op: Operator, want: str, value: str, says: str) -> None:
    """What cannot be compared is said, and neither met nor not met."""
    with pytest.raises(IncomparableError) as caught:
        met(Condition("fact", op, (want,)), value)
    assert says == str(caught.value)


@given(st.sampled_from((*MET, *NOT_MET)), st.text(max_size=20))
def test_any_value(case: tuple[Operator, tuple[str, ...], str], value: str) -> None:
    """Whatever a fact says, an operator tells or says why it cannot."""
    with suppress(IncomparableError):
        assert met(Condition("fact", case[0], case[1]), value) in {True, False}


def rule(name: str, fact: str, want: str, profile: str = "host", where: tuple[Condition, ...] = ()) -> Rule:
    """Make a rule that asks for one value."""
    return Rule(name, profile, Condition(fact, "is", (want,)), where, "info", "because", "mend it", "a guide")


def told(book: Rulebook, *facts: Fact) -> dict[str, str]:
    """Give each ruling's word."""
    return {one.rule.id: one.outcome for one in rulings(book, facts)}


def test_three_outcomes() -> None:
    """A rule is met, not met, or unreadable with what it needs; of what nobody looked at nothing is said."""
    book = Rulebook(tuple(rule(name, name, "1") for name in ("a", "b", "c", "d")), {})

    found = rulings(book, (Fact("a", "1"), Fact("b", "2", "/proc/b"), Fact("c", None, why="needs: root")))

    assert [("a", "match"), ("b", "mismatch"), ("c", "unreadable")] == [(one.rule.id, one.outcome) for one in found]
    assert ("2", "/proc/b") == (found[1].actual, found[1].path)
    assert ("", "needs: root") == (found[2].actual, found[2].why)


def test_conditions() -> None:
    """A condition that is not met settles it, before one that cannot be read, in whatever order they stand."""
    known = Condition("version", "version", ("<0.12",))
    unread = Condition("device", "is", ("npu",))
    facts = (Fact("version", "0.18"), Fact("device", None, why="masked"), Fact("a", "2"))
    for where in permutations((known, unread)):
        assert {"a": "elsewhere"} == told(Rulebook((rule("a", "a", "1", where=where),), {}), *facts)

    assert {"a": "unreadable"} == told(Rulebook((rule("a", "a", "1", where=(unread,)),), {}), *facts)
    assert {} == told(Rulebook((rule("a", "a", "1", where=(Condition("nobody", "is", ("1",)),)),), {}), *facts)


def test_profiles() -> None:
    """Of profiles, "auto" takes the host, vLLM, and what is found; a chosen one is taken whether found or not."""
    every = tuple(rule(name, "a", "1", profile=name) for name in ("host", "vllm", "ascend", "sophgo"))
    found = {"ascend": ("ascend.devices",), "sophgo": ("sophgo.devices", "process.package.torch-tpu")}
    facts = (Fact("a", "1"), Fact("ascend.devices", "8x 910B"), Fact("process.package.torch-tpu", "absent"))

    assert {"host", "vllm", "ascend"} == told(Rulebook(every, found), *facts).keys()
    assert {"sophgo"} == told(Rulebook(every, found, frozenset({"sophgo"})), *facts).keys()


def opened(found: judge.Tuned) -> tuple[OpenFinding, ...]:
    """Take findings as open."""
    return tuple(OpenFinding(one, 0.0, 0.0) for one in found.findings)


def test_rule_findings_end() -> None:
    """A rule's finding ends when it is met, applies no more or is gone, and not while it cannot be read."""
    book = Rulebook((rule("a", "a", "1"),), {})
    wrong = judge.judge("llama", (Fact("a", "2"),), None, book, (), ())
    entries = opened(wrong)
    (finding,) = wrong.findings

    for facts, rules, ends in (
        ((Fact("a", "1"),), book, True),
        ((Fact("a", None, why="masked"),), book, False),
        ((), book, False),
        ((Fact("a", "2"),), Rulebook((), {}), True),
    ):
        tuned = judge.judge("llama", facts, None, rules, (), entries)
        assert ends == (finding.key in tuned.keys)
        assert () == tuned.findings

    assert "llama: a is 2, should be 1" == finding.summary
    assert "mend it [a guide]" == finding.remedy


def test_accepted() -> None:
    """What was accepted is not found, but judged: its finding ends."""
    book = Rulebook((rule("a", "a", "1"),), {})

    tuned = judge.judge("llama", (Fact("a", "2"),), None, book, {("a", "2")}, ())

    assert () == tuned.findings
    assert {"rule:llama:a", "tuning:llama:a"} == tuned.keys
    assert "mismatch" == tuned.rulings[0].outcome
