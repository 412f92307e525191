"""What is kept of an answer, and what the last answers mean beside a baseline's."""

from typing import Any

import pytest
from examples import AT, baseline, failed_probe, probe
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.answers import MOST_WORDS, describe
from monitor.detect.answers import KEPT, STREAK, Memories, answers, fresh, judge, step
from monitor.model import Answer, Baseline, Finding, Probe

GARBAGE, GARBAGE_INFO, OTHER = (f"health:llama:answers:short:{what}" for what in ("garbage", "garbage:info", "other"))
KEYS = frozenset({GARBAGE, GARBAGE_INFO, OTHER})
HOLD = 180.0

GOOD: dict[str, Any] = {"answer": "aa", "words": (1, 2, 3, 4), "fixed": True}
NEAR: dict[str, Any] = {"answer": "bb", "words": (1, 2, 3, 9), "fixed": True}
BAD: dict[str, Any] = {"answer": "ff", "words": (7,), "fault": "empty", "fixed": True}
KNOWN_GOOD = Answer("short", "1", "aa", (1, 2, 3, 4), "")
KNOWN_BAD = Answer("short", "1", "ff", (7,), "empty")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param(" \n\t\n ", "empty", id="only white space"),
        pytest.param("\ufffd", "invalid UTF-8", id="one bad letter alone"),
        pytest.param("\ufffd\ufffd \ufffd", "invalid UTF-8", id="only bad letters"),
        pytest.param("a\ufffdb\ufffdc", "invalid UTF-8", id="bad letters between good ones"),
        pytest.param("\ufffd\ufffdabcdefg", "invalid UTF-8", id="just more than a fifth"),
        pytest.param("the " * 16, "one token repeated", id="a word"),
        pytest.param("!" * 16, "one token repeated", id="!!!!"),
        pytest.param("! " * 8, "one token repeated", id="! ! ! !"),
        pytest.param("Sure" + "!" * 12, "one token repeated", id="a word, then !!!!"),
        pytest.param("well so " + "the " * 8, "one token repeated", id="four fifths of the words"),
        pytest.param("well " + "the " * 7, "one token repeated", id="eight words"),
        pytest.param("aaaaaaaa", "one token repeated", id="a letter"),
        pytest.param("abab" * 4, "one token repeated", id="two letters"),
        pytest.param("abc" * 8 + "a", "one token repeated", id="three letters, cut"),
        pytest.param("好" * 16, "one token repeated", id="a Chinese letter"),
        pytest.param("ha\nha ha" * 4, "one token repeated", id="whatever stands between"),
    ],
)
def test_fault(text: str, fault: str) -> None:
    """No text, a text that is none, and one token over and over are faults."""
    assert fault == describe(text).fault


@pytest.mark.parametrize(
    "text",
    [
        "one, two, three, four, five, six, seven, eight, nine, ten",
        "four, five, six, seven, eight, nine, te",
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        "1 2 3 4 5 6 7 8 9 10",
        "Yes.",
        "7",
        "no no no no no no no",
        "well the the the the the the",
        "!!!!!!!",
        "ha" * 7,
        "abcd" * 9,
        "well so then " + "the " * 8,
        "vier, fünf, sechs, sieben, acht, neun, zehn, elf, zw\ufffd",
        "四\ufffd",
        "\ufffd\ufffdabcdefgh",
        "四、五、六、七、八、九、十、十一、十二",
        "一二三四五六七八九十十一十二十三十四",
        "- four\n- five\n- six\n- seven\n- eight\n- nine\n",
        "* a\n* b\n* c\n* d\n* e\n* f\n* g\n* h",
        "for i in range(4, 10):\n    print(names[i])\n",
        "|a|b|\n|---|---|\n|1|2|\n|3|4|",
        'look{"a": [[1, 2], [3, 4]]}',
    ],
)
def test_honest_text(text: str) -> None:
    """What may be right or wrong, but is a text, has no fault: counting, short answers, a cut letter, lists, code."""
    assert "" == describe(text).fault


def test_texts_are_told_apart() -> None:
    """Equal texts have equal digests; another word changes the whole and that word, and no other."""
    one, same, other = describe("one, two, three"), describe("one, two, three"), describe("one, too, three")

    assert one == same
    assert one.whole != other.whole
    assert [True, True, False, True, True] == [a == b for a, b in zip(one.words, other.words, strict=True)]


@pytest.mark.parametrize(("words", "kept"), [(0, 0), (MOST_WORDS, MOST_WORDS), (MOST_WORDS + 1, MOST_WORDS)])
def test_few_words_are_kept(words: int, kept: int) -> None:
    """Of a long answer only the first words' digests are kept; the whole one's tells all of it."""
    text = " ".join(map(str, range(words)))

    assert kept == len(describe(text).words)
    assert describe(text).whole != describe(f"{text} more").whole


@given(st.text(st.characters(codec=None)))
def test_any_text(text: str) -> None:
    """Whatever was said, what is kept are digests of fixed size and a fault out of a short list: never the text."""
    digest = describe(text)

    assert 16 == len(digest.whole)
    assert set(digest.whole) <= set("0123456789abcdef")
    assert all(type(word) is int and 0 <= word < 2**16 for word in digest.words)
    assert digest.fault in {"", "empty", "invalid UTF-8", "one token repeated"}


def remembered(*said: dict[str, Any], profile: str = "short") -> Memories:
    """Remember answers, a minute apart."""
    probes = [probe(at=AT + 60 * index, profile=profile, **one) for index, one in enumerate(said)]
    return step(fresh([profile]), probes)


def found(memories: Memories, base: Baseline | None = None) -> list[tuple[str, str]]:
    """Give what is found: key and severity."""
    return [(finding.key, finding.severity) for finding in judge(memories, "llama", base, HOLD).findings]


def only(memories: Memories, base: Baseline | None = None) -> Finding:
    """Give the one thing that is found."""
    [finding] = judge(memories, "llama", base, HOLD).findings
    return finding


@pytest.mark.parametrize(
    ("said", "known", "expected"),
    [
        pytest.param([BAD] * 3, (KNOWN_GOOD,), [(GARBAGE, "critical")], id="the baseline's were good"),
        pytest.param([GOOD, *[BAD] * 3], None, [(GARBAGE, "critical")], id="an earlier one was good"),
        pytest.param([GOOD, *[BAD] * 3], (), [(GARBAGE, "critical")], id="earlier good, baseline without answers"),
        pytest.param([GOOD, *[BAD] * 9], None, [(GARBAGE, "critical")], id="long ago one was good"),
        pytest.param([BAD] * 3, (KNOWN_GOOD, KNOWN_BAD), [(GARBAGE, "critical")], id="most of the baseline's were"),
        pytest.param([BAD] * 3, (KNOWN_BAD,), [], id="the baseline's were like that"),
        pytest.param([GOOD, *[BAD] * 3], (KNOWN_BAD,), [], id="like that, though one was good"),
        pytest.param([BAD] * 3, (KNOWN_BAD, KNOWN_GOOD), [], id="most of the baseline's were like that"),
        pytest.param([BAD] * 3, None, [(GARBAGE_INFO, "info")], id="nothing better is known"),
        pytest.param(
            [BAD] * 3, (Answer("long", "1", "aa", (), ""),), [(GARBAGE_INFO, "info")], id="nor of this profile"
        ),
        pytest.param(
            [{**BAD, "version": "2", "fixed": False}] * 3,
            (KNOWN_GOOD,),
            [(GARBAGE, "critical")],
            id="garbage needs no equal words",
        ),
        pytest.param([BAD] * 2, (KNOWN_GOOD,), [], id="two are too few"),
        pytest.param([BAD, BAD, GOOD], (KNOWN_GOOD,), [], id="not in a row"),
        pytest.param([GOOD] * 3, (KNOWN_GOOD,), [], id="all is well"),
        pytest.param([GOOD] * 3, None, [], id="all is well, no baseline"),
    ],
)
def test_garbage(said: list[dict[str, Any]], known: tuple[Answer, ...] | None, expected: list[object]) -> None:
    """Three garbage answers in a row page where better ones are known; a baseline like that makes them normal."""
    base = None if known is None else baseline(answers=known)

    assert expected == found(remembered(*said), base)


def test_garbage_is_told() -> None:
    """The finding names the fault, and counts its evidence from the first of the three."""
    finding = only(remembered(GOOD, GOOD, BAD, BAD, {**BAD, "fault": "invalid UTF-8"}))

    assert (HOLD, AT + 120, "invalid UTF-8") == (finding.hold, finding.onset, finding.observed)
    assert "llama: the last 3 answers are garbage (invalid UTF-8), profile short" == finding.summary
    assert "out of service" in finding.remedy
    assert "answers:llama" == finding.group


def test_doubt_is_told() -> None:
    """Where garbage may be right, because nothing better is known, the finding says so and pages nobody."""
    finding = only(remembered(*[BAD] * 3))

    assert finding.summary.endswith("; no better answer of it is known")
    assert "random" in finding.remedy


def test_failed_probes_are_no_answers() -> None:
    """Failures between garbage neither end nor make a row of three."""
    bad = probe(**BAD)

    three = step(fresh(["short"]), [bad, failed_probe(), bad, failed_probe(), failed_probe(), bad])
    two = step(fresh(["short"]), [bad, bad, failed_probe(answer="ff", fault="empty"), probe(answer="", fault="empty")])

    assert ([(GARBAGE_INFO, "info")], []) == (found(three), found(two))


def test_profiles_are_apart() -> None:
    """What one profile's answers are says nothing of another's; a profile nobody asked for is not remembered."""
    said = [probe(profile=name, **what) for name, what in (("short", BAD), ("long", GOOD), ("warm", BAD)) * STREAK]

    memories = step(fresh(["short", "long"]), said)

    assert [(GARBAGE_INFO, "info")] == found(memories)
    assert {"health:llama:answers:long:garbage", GARBAGE} <= judge(memories, "llama", None, HOLD).judged


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        pytest.param([], False, id="none"),
        pytest.param([GOOD] * 2, False, id="two"),
        pytest.param([BAD, BAD, GOOD], False, id="a good one among garbage"),
        pytest.param([GOOD, BAD, GOOD], False, id="garbage among good ones"),
        pytest.param([NEAR, BAD, NEAR], False, id="garbage among other ones"),
        pytest.param([BAD] * 3, True, id="garbage"),
        pytest.param([BAD, *[GOOD] * 3], True, id="good again"),
    ],
)
def test_a_mixture_neither_opens_nor_closes(said: list[dict[str, Any]], judged: bool) -> None:  # noqa: FBT001
    """Only three answers that agree judge: of a mixture nothing is found and nothing is over."""
    verdict = judge(remembered(*said), "llama", baseline(answers=(KNOWN_GOOD,)), HOLD)

    assert (KEYS if judged else frozenset()) == verdict.judged
    assert judged or not verdict.findings


@pytest.mark.parametrize(
    ("said", "known", "expected"),
    [
        pytest.param([NEAR] * 3, (KNOWN_GOOD,), [(OTHER, "info")], id="another one"),
        pytest.param([NEAR] * 3, (KNOWN_BAD,), [(OTHER, "info")], id="a good one, where there was garbage"),
        pytest.param([NEAR] * 2, (KNOWN_GOOD,), [], id="only twice"),
        pytest.param([NEAR, GOOD, NEAR], (KNOWN_GOOD,), [], id="one is the baseline's"),
        pytest.param([NEAR] * 3, (KNOWN_GOOD, Answer("short", "1", "bb", (), "")), [], id="one of several known ones"),
        pytest.param([NEAR] * 3, (Answer("short", "2", "aa", (1,), ""),), [], id="of another version"),
        pytest.param([{**NEAR, "version": "2"}, NEAR, NEAR], (KNOWN_GOOD,), [], id="of versions mixed"),
        pytest.param([{**NEAR, "fixed": False}] * 3, (KNOWN_GOOD,), [], id="to words that differ"),
        pytest.param([NEAR] * 3, (Answer("short", "1", "", (), ""),), [], id="beside words that differed"),
        pytest.param([NEAR] * 3, (Answer("long", "1", "aa", (1,), ""),), [], id="of another profile"),
        pytest.param([{**NEAR, "model": "big"}] * 3, (KNOWN_GOOD,), [], id="of another model"),
        pytest.param([NEAR] * 3, (), [], id="none known"),
        pytest.param([NEAR] * 3, None, [], id="no baseline"),
    ],
)
def test_another_answer(said: list[dict[str, Any]], known: tuple[Answer, ...] | None, expected: list[object]) -> None:
    """Answers that the baseline does not know only inform, and only where the very same was asked."""
    base = None if known is None else baseline(answers=known)

    assert expected == found(remembered(*said), base)


def test_another_answer_says_how_alike() -> None:
    """The share of words in common, in order, is told beside the nearest answer known; of three the median."""
    far, nearer = {**NEAR, "words": (8, 9)}, Answer("short", "1", "cc", (1, 2, 3, 5), "")

    finding = only(remembered(NEAR, far, NEAR), baseline(answers=(Answer("short", "1", "dd", (4, 3), ""), nearer)))

    assert ("info", 0.0, {"words_alike_ratio": 0.75}) == (finding.severity, finding.hold, finding.evidence)
    assert "75%" in finding.summary


def test_long_answers_are_alike_word_by_word() -> None:
    """Words that come often, like commas, count as much as others in long answers, too."""
    then = (1, 2) * 128

    finding = only(
        remembered(*[{**NEAR, "words": (3, *then[1:])}] * 3), baseline(answers=(Answer("short", "1", "aa", then, ""),))
    )

    assert {"words_alike_ratio": 255 / 256} == finding.evidence


def test_baseline_of_another_model_excuses_nothing() -> None:
    """Garbage is judged by a baseline of the same model only."""
    asked_of_big = {**BAD, "model": "big"}

    assert [(GARBAGE_INFO, "info")] == found(remembered(*[asked_of_big] * 3), baseline(answers=(KNOWN_BAD,)))
    assert [(GARBAGE_INFO, "info")] == found(remembered(*[asked_of_big] * 3), baseline(answers=(KNOWN_GOOD,)))


def test_most_frequent_answers_are_kept() -> None:
    """Of each profile and version a baseline keeps the most frequent answers, the most frequent first."""
    said = [probe(answer=str(index), fixed=True) for index in range(KEPT + 2) for _ in range(index + 1)]
    others = [probe(answer="x", version="2", fixed=True), probe(answer="y", profile="long", fixed=True)]

    kept = answers([*said, *others])

    assert [str(index) for index in range(KEPT + 1, 1, -1)] == [
        one.digest for one in kept if (one.profile, one.version) == ("short", "1")
    ]
    assert {("short", "2", "x"), ("long", "1", "y")} <= {(one.profile, one.version, one.digest) for one in kept}


@pytest.mark.parametrize(
    ("probes", "expected"),
    [
        pytest.param([probe(**GOOD), probe(**GOOD)], (KNOWN_GOOD,), id="equal ones once"),
        pytest.param([probe(**BAD), probe(**GOOD), probe(**GOOD)], (KNOWN_GOOD, KNOWN_BAD), id="with their faults"),
        pytest.param(
            [probe(**{**BAD, "fixed": False}), probe(**{**NEAR, "fixed": False}), probe(**{**GOOD, "fixed": False})],
            (Answer("short", "1", "", (), ""), Answer("short", "1", "", (), "empty")),
            id="to words that differ: only faults",
        ),
        pytest.param([failed_probe(answer="aa"), probe(answer="")], (), id="none of failures and of silence"),
        pytest.param([], (), id="none of nothing"),
    ],
)
def test_kept_answers(probes: list[Probe], expected: tuple[Answer, ...]) -> None:
    """What is kept of an answer is what can be compared: all of it, or where the words asked differ only its fault."""
    assert expected == answers(probes)


@pytest.mark.parametrize(("tokens", "fault"), [(1, ""), (3, ""), (4, "empty")])
def test_a_few_tokens_show_no_fault(tokens: int, fault: str) -> None:
    """The first tokens of an answer may have no text, so that an empty one is judged from four tokens on."""
    assert fault == describe("", tokens).fault
