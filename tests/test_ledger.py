"""Findings become flips: opened once, closed once, held, grouped; silence closes nothing."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from monitor.ledger import Ledger, close, settle
from monitor.model import Finding, Flip, OpenFinding

SLOW = Finding("ttft", "regression", "warning", "short ttft", "regression", "slow", "mend", hold=30.0)
OTHER = replace(SLOW, key="tpot", subject="short tpot")
INFO = replace(SLOW, key="info", severity="info")
KEYS = {"ttft", "tpot", "info"}


def run(ledger: Ledger, *beats: tuple[float, tuple[Finding, ...]]) -> tuple[Ledger, list[Flip]]:
    flips: list[Flip] = []
    for at, findings in beats:
        ledger, new = settle(ledger, findings, KEYS, at)
        flips += new
    return ledger, flips


def opened(*findings: Finding) -> Ledger:
    return Ledger(tuple(OpenFinding(finding, 0.0, 0.0) for finding in findings))


def test_opens_after_hold() -> None:
    """A finding opens when it has held for its time, not before, and is told since when it held."""
    ledger, early = run(Ledger(), (0.0, (SLOW,)), (15.0, (SLOW,)))
    ledger, late = run(ledger, (30.0, (SLOW,)))

    assert [] == early
    assert [Flip(SLOW, opened=True, since=0.0, at=30.0, tell=True)] == late
    assert (OpenFinding(SLOW, 0.0, 30.0),) == ledger.open


def test_onset_counts() -> None:
    """Where the judge knows an onset, the hold counts from there, and still two beats must agree."""
    knowing = replace(SLOW, onset=-100.0)

    _, one = run(Ledger(), (0.0, (knowing,)))
    _, two = run(Ledger(), (0.0, (knowing,)), (15.0, (knowing,)))

    assert [] == one
    assert [-100.0] == [flip.since for flip in two]


def test_interruption_begins_anew() -> None:
    """A finding that was not found in between begins its hold anew."""
    _, flips = run(Ledger(), (0.0, (SLOW,)), (15.0, ()), (30.0, (SLOW,)), (45.0, (SLOW,)))

    assert [] == flips


def test_closes_after_two_beats() -> None:
    """A finding closes when two beats that could judge it did not find it."""
    _, one = run(opened(SLOW), (15.0, ()))
    _, two = run(opened(SLOW), (15.0, ()), (30.0, ()))

    assert [] == one
    assert [Flip(SLOW, opened=False, since=0.0, at=30.0, tell=True)] == two


def test_silence_is_not_recovery() -> None:
    """What cannot be judged stays open, however long."""
    ledger = opened(SLOW)
    for beat in range(100):
        ledger, flips = settle(ledger, (), frozenset(), beat * 15.0)

        assert () == flips

    assert (SLOW,) == tuple(entry.finding for entry in ledger.open)


def test_group_is_told_once() -> None:
    """Two findings of one group that open together, or one after the other, are one message; likewise closing."""
    together = run(Ledger(), (0.0, (SLOW, OTHER)), (30.0, (SLOW, OTHER)))[1]
    later = run(opened(SLOW), (0.0, (SLOW, OTHER)), (30.0, (SLOW, OTHER)))[1]
    first_closed = run(opened(SLOW, OTHER), (0.0, (SLOW,)), (15.0, (SLOW,)))[1]
    both_closed = run(opened(SLOW, OTHER), (0.0, ()), (15.0, ()))[1]

    assert [True, False] == [flip.tell for flip in together]
    assert [False] == [flip.tell for flip in later]
    assert [False] == [flip.tell for flip in first_closed]
    assert [True, False] == [flip.tell for flip in both_closed]


def test_change_of_finding_within_a_group_is_not_told() -> None:
    """When one finding of a group closes on the beat on which another opens, the trouble goes on and is not new."""
    _, flips = run(opened(SLOW), (0.0, (OTHER,)), (30.0, (OTHER,)))

    assert [("ttft", False, False), ("tpot", True, False)] == [(f.finding.key, f.opened, f.tell) for f in flips]


def test_info_is_never_told() -> None:
    """An informing finding opens and closes silently, and does not swallow a warning's message."""
    quiet = run(Ledger(), (0.0, (INFO,)), (30.0, (INFO,)))[1]
    loud = run(opened(INFO), (0.0, (INFO, SLOW)), (30.0, (INFO, SLOW)))[1]

    assert [False] == [flip.tell for flip in quiet]
    assert [True] == [flip.tell for flip in loud]


def test_open_finding_is_refreshed() -> None:
    """An open finding shows its latest figures, and keeps since when it held."""
    worse = replace(SLOW, summary="slower")

    ledger, flips = run(opened(SLOW), (15.0, (worse,)))

    assert [] == flips
    assert (OpenFinding(worse, 0.0, 0.0),) == ledger.open


def test_everything_is_closed() -> None:
    """What nobody will judge any more is closed at once; of each group one flip is told, of information none."""
    alone = replace(INFO, group="alone")

    flips = close(opened(INFO, SLOW, OTHER, alone), 90.0)

    assert [(INFO, False), (SLOW, True), (OTHER, False), (alone, False)] == [(one.finding, one.tell) for one in flips]
    assert {(False, 0.0, 90.0)} == {(one.opened, one.since, one.at) for one in flips}


SOME_KEYS = st.sets(st.sampled_from(sorted(KEYS)))


@given(st.lists(st.tuples(SOME_KEYS, SOME_KEYS)))
def test_opens_and_closes_alternate(beats: list[tuple[set[str], set[str]]]) -> None:
    """Whatever is found and judged, each key opens and closes in turn, and only what is judged closes."""
    ledger, last = Ledger(), dict.fromkeys(KEYS, False)
    for index, (found, judged) in enumerate(beats):
        findings = [finding for finding in (SLOW, OTHER, INFO) if finding.key in found]
        ledger, flips = settle(ledger, findings, judged, index * 20.0)
        for flip in flips:
            assert flip.opened != last[flip.finding.key]
            assert flip.opened or flip.finding.key in judged
            last[flip.finding.key] = flip.opened

    assert {key for key, is_open in last.items() if is_open} == {entry.finding.key for entry in ledger.open}
