"""Our own baseline file: what is written can be read back, and nothing else is taken for a baseline."""

import json
from typing import Any

import pytest
from examples import AT, baseline
from hypothesis import given
from hypothesis import strategies as st

from monitor.importers.own import FORMAT, read, write
from monitor.importers.reading import FileError
from monitor.model import Answer, Baseline, Context, Fact, Series

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
TIMES = st.floats(0, 4e9)
LATENCIES = st.floats(1e-6, 1e3)


@st.composite
def some_series(draw: st.DrawFn) -> Series:
    points = draw(st.lists(st.tuples(TIMES, LATENCIES), min_size=1, max_size=4))
    return Series(draw(TEXT), draw(TEXT), tuple(at for at, _ in points), tuple(value for _, value in points))


FACTS = st.builds(Fact, TEXT, st.none() | st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
WORDS = st.lists(st.integers(0, 0xFFFF), max_size=4).map(tuple)
ANSWERS = st.builds(Answer, TEXT, TEXT, st.text(max_size=5), WORDS, st.text(max_size=5))
BASELINES = st.builds(
    Baseline,
    TEXT,
    st.builds(Context, TEXT, TEXT),
    TIMES,
    st.lists(some_series(), min_size=1, max_size=3).map(tuple),
    st.lists(FACTS, max_size=3).map(tuple),
    st.booleans(),
    st.lists(ANSWERS, max_size=3).map(tuple),
)
GOOD = baseline(answers=(Answer("short", "1", "5f1d", (7, 65_535), ""), Answer("warm", "1", "", (), "empty")))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)

LENGTHS = "ValueError: a series needs as many times as values, and at least one"
LATENCY = "ValueError: a latency is not a positive number"
NO_WORDS = "ValueError: an answer's words are not digests"
NO_DIGESTS: tuple[Any, ...] = (None, "yes", 7, {}, ["7"], [7.0], [True], [None], [[7]], [-1], [0x10000])
TEXTS = ("profile", "version", "digest", "fault")
NO_NUMBER = "TypeError: float() argument must be a string or a real number, not 'NoneType'"


def document(**changes: Any) -> dict[str, Any]:
    """Give a good file's content with some of its fields changed; Ellipsis leaves one out."""
    made = {**json.loads(write(GOOD)), **changes}
    return {key: value for key, value in made.items() if value is not ...}


def series(**changes: Any) -> list[dict[str, Any]]:
    """Give the content of one good series with some of its fields changed."""
    return [{"metric": "ttft", "stratum": "short@1 load 0", "times": [AT], "values": [0.05], **changes}]


def answers(**changes: Any) -> list[dict[str, Any]]:
    """Give the content of one good answer with some of its fields changed; Ellipsis leaves one out."""
    made = {"profile": "short", "version": "1", "digest": "5f1d", "words": [7], "fault": "", **changes}
    return [{key: value for key, value in made.items() if value is not ...}]


def refusal(text: str) -> str:
    with pytest.raises(FileError) as caught:
        read(text)
    return str(caught.value)


def test_round_trip() -> None:
    """A baseline comes back exactly as it was written, its answers included."""
    assert GOOD == read(write(GOOD))


def test_a_file_without_answers() -> None:
    """A file that the version before wrote has no answers, and is a baseline all the same."""
    assert baseline() == read(json.dumps(document(answers=...)))


@given(BASELINES)
def test_any_round_trip(made: Baseline) -> None:
    """Whatever a baseline holds, nothing of it is rounded or lost, and equal ones are equal files."""
    text = write(made)

    assert made == read(text)
    assert text == write(read(text))


def test_the_file_can_be_reviewed() -> None:
    """The file is JSON with one thing a line, and says first what it is."""
    lines = write(baseline(facts=(Fact("cpu.governor", "größer", "/sys"),))).splitlines()

    assert ["{", f' "format": "{FORMAT}",', ' "version": 1,', ' "name": "good-day",'] == lines[:4]
    assert '   "value": "größer",' in lines


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("baseline", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"format"', "not JSON: Expecting ':' delimiter: line 1 column 10 (char 9)"),
        ("[" * 100_000, "not JSON: nested too deeply"),
        ("[]", "not a baseline: \"format\" is not 'vllm-monitor baseline'; make one with monitor baseline export"),
        ("{}", "not a baseline: \"format\" is not 'vllm-monitor baseline'; make one with monitor baseline export"),
        (json.dumps(document(version=2)), "version 2 is not known here; this monitor reads version 1"),
        (json.dumps(document(version=...)), "version None is not known here; this monitor reads version 1"),
    ],
)
def test_another_file(text: str, told: str) -> None:
    """A file that is no baseline, or one of a newer monitor, is told as what it is."""
    assert told == refusal(text)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        *(({key: ...}, f"KeyError: '{key}'") for key in ("name", "context", "captured_at", "series", "facts")),
        ({"name": ""}, "ValueError: '' is not a text"),
        ({"name": 5}, "ValueError: 5 is not a text"),
        ({"name": "\ud800"}, r"ValueError: '\ud800' is not a text"),
        ({"context": {"model": "tiny"}}, "KeyError: 'endpoint'"),
        ({"context": {"model": None, "endpoint": "http://x"}}, "ValueError: None is not a text"),
        ({"context": {"model": "tiny", "endpoint": 5}}, "ValueError: 5 is not a text"),
        ({"context": "tiny"}, "TypeError: string indices must be integers, not 'str'"),
        ({"captured_at": "yesterday"}, "ValueError: could not convert string to float: 'yesterday'"),
        ({"captured_at": None}, NO_NUMBER),
        ({"captured_at": float("inf")}, "ValueError: inf is not a time"),
        ({"captured_at": 10**400}, "OverflowError: int too large to convert to float"),
        ({"series": []}, "ValueError: it has no values"),
        ({"series": series(times=[])}, LENGTHS),
        ({"series": series(times=[], values=[])}, LENGTHS),
        ({"series": series(times=[float("nan")])}, "ValueError: nan is not a time"),
        ({"series": series(values=[0])}, LATENCY),
        ({"series": series(values=[-0.05])}, LATENCY),
        ({"series": series(values=[float("nan")])}, LATENCY),
        ({"series": series(values=[float("inf")])}, LATENCY),
        ({"series": series(values=[None])}, NO_NUMBER),
        ({"series": series(metric=None)}, "ValueError: None is not a text"),
        ({"series": series(stratum="")}, "ValueError: '' is not a text"),
        ({"series": 5}, "TypeError: 'int' object is not iterable"),
        ({"facts": [{"name": "x"}]}, "KeyError: 'value'"),
        ({"facts": [{"name": 5, "value": "x", "path": "", "why": ""}]}, "ValueError: 5 is not a text"),
        ({"facts": [{"name": "x", "value": 5, "path": "", "why": ""}]}, "ValueError: 5 is not a text"),
        ({"facts": [{"name": "x", "value": None, "path": None, "why": ""}]}, "ValueError: None is not a text"),
        ({"answers": None}, "TypeError: 'NoneType' object is not iterable"),
        ({"answers": ["yes"]}, "TypeError: string indices must be integers, not 'str'"),
        *(({"answers": answers(**{key: ...})}, f"KeyError: '{key}'") for key in answers()[0]),
        *(({"answers": answers(**{key: 5})}, "ValueError: 5 is not a text") for key in TEXTS),
        ({"answers": answers(profile="")}, "ValueError: '' is not a text"),
        *(({"answers": answers(words=words)}, NO_WORDS) for words in NO_DIGESTS),
    ],
)  # fmt: skip
def test_a_damaged_baseline(changes: dict[str, Any], told: str) -> None:
    """A baseline that cannot be measured against, or not be stored, is refused with what is wrong in it."""
    assert f"damaged: {told}" == refusal(json.dumps(document(**changes)))


@given(st.text() | JSON.map(json.dumps))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a file holds, it is a baseline or a FileError."""
    with pytest.raises(FileError):
        read(text)


@given(data=st.data(), key=st.sampled_from(sorted(document())), value=JSON, deep=st.booleans())
def test_any_damage_is_read_or_refused(data: st.DataObject, key: str, value: object, deep: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever a field of a good file is replaced by, the result can be used or is a FileError."""
    made = document()
    if deep and isinstance(made[key], list):
        made[key][0][data.draw(st.sampled_from(sorted(made[key][0])))] = value
    else:
        made[key] = value
    try:
        found = read(json.dumps(made))
    except FileError:
        return
    assert found == read(write(found))
