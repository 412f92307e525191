"""Since when each fact is as it is, and what changed together."""

import pytest
from examples import AT, finding, open_finding
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.model import Event, Fact, Near, OpenFinding
from monitor.tuning.change import MOST as MOST_KEPT
from monitor.tuning.change import UNKNOWN, Change, Past, merged, past, spread, step
from monitor.tuning.join import AFTER, BEFORE, MOST, NOTED, happened, join

GOVERNOR = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
PACKAGE = catalog.PROCESS_PACKAGE["vllm"]
SLOW = finding(onset=AT, evidence={"effect": "short TTFT +50%"})
DRIFT = finding("tuning:llama:x", kind="tuning", subject="x", onset=AT - 60, evidence={"change": "x 1 → 2"})


def seen(*values: str | None) -> Past:
    """See a fact's values, a second apart."""
    known = UNKNOWN
    for offset, value in enumerate(values):
        known = step(known, [Fact("x", value)], AT + offset)
    return known


@pytest.mark.parametrize(
    ("values", "change", "at"),
    [
        (("1",), Change("x", None, "1", AT), None),
        (("1", "1"), Change("x", None, "1", AT), None),
        (("1", "2", "2"), Change("x", "1", "2", AT + 1), AT + 1),
        (("1", "2", None, "2"), Change("x", "1", "2", AT + 1), AT + 1),
        (("1", None, "2"), Change("x", "1", "2", AT + 2), AT + 2),
    ],
)
def test_since_when(values: tuple[str | None, ...], change: Change, at: float | None) -> None:
    """The moment of the last change is known; a first sight is none, and being unreadable changes nothing."""
    known = seen(*values)

    assert ({"x": change}, at) == (known.last, known.moment("x", values[-1]))
    assert (() if at is None else (change,)) == known.recent


def test_of_what_was_never_seen_nothing_is_known() -> None:
    """A fact that was never readable has no moment."""
    assert (UNKNOWN, None) == (seen(None), UNKNOWN.moment("x", None))


def test_another_value_than_the_last_one_seen() -> None:
    """Of a value that was not the last one seen nobody knows the moment."""
    assert seen("1", "2").moment("x", "3") is None


def test_changes_that_are_over_are_remembered() -> None:
    """What changed and changed back is still known, and of what flaps the newest."""
    assert ["1 → 2", "2 → 1"] == [str(one).removeprefix("x ") for one in seen("1", "2", "1").recent]

    flapping = seen(*map(str, range(MOST_KEPT + 9)))
    assert (MOST_KEPT, AT + MOST_KEPT + 8) == (len(flapping.recent), flapping.recent[-1].at)


def test_others_stay_as_they_were() -> None:
    """What is not looked at this time keeps its moment; two scopes are known together."""
    both = step(seen("1"), [Fact("y", "9")], AT + 5)

    assert {"x": "1", "y": "9"} == {name: change.after for name, change in both.last.items()}
    assert both == merged(seen("1"), step(UNKNOWN, [Fact("y", "9")], AT + 5))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ("0:0-31;1:32-63", " on 64 CPUs"),
        ("0:0-3,8-11", " on 8 CPUs"),
        ("0:0-15;2:", " on 16 CPUs"),
        (None, ""),
    ],
)
def test_on_how_many_cpus(nodes: str | None, words: str) -> None:
    """What all CPUs agree on is said of so many; what differs between them says it itself."""
    facts = [
        Fact("cpu.governor", "powersave", GOVERNOR),
        Fact("cpu.epp", "performance=63,power=1", GOVERNOR),
        Fact("cpu.driver", None, GOVERNOR),
        Fact("vm.swappiness", "60", "/proc/sys/vm/swappiness"),
        Fact(catalog.NUMA_CPUS, nodes),
    ]

    assert ({"cpu.governor": words} if words else {}) == spread(facts)


def joined(onset: float | None, *changes: Near) -> tuple[Near, ...]:
    (found,) = join([finding(onset=onset)], (), changes)
    return found.near


def test_changes_near_a_regression() -> None:
    """From an hour before a regression's onset to ten minutes after what changed belongs to it, the nearest first."""
    changes = [Near(str(offset), AT + offset) for offset in (-BEFORE - 1, -BEFORE, -30, 20, AFTER, AFTER + 1)]

    assert ["20", "-30", str(AFTER), str(-BEFORE)] == [one.what for one in joined(AT, *changes)]


def test_a_few_changes_are_told() -> None:
    """Of many changes only the nearest are told; of two alike the one that came before."""
    changes = [Near(str(offset), AT + offset) for offset in range(MOST, -MOST - 1, -1)]

    assert ["0", "-1", "1", "-2", "2"] == [one.what for one in joined(AT, *changes)]


def test_without_an_onset_nothing_is_joined() -> None:
    """Where nobody knows when something began, nothing came with it."""
    assert () == joined(None, Near("restart", AT))


def test_a_note_after_a_regression_is_no_cause() -> None:
    """What somebody notes within two minutes may be what he did; later it is what he thinks of the regression."""
    notes = [Near(str(offset), AT + offset, "annotation") for offset in (-BEFORE, NOTED, NOTED + 1)]

    assert [str(NOTED), str(-BEFORE)] == [one.what for one in joined(AT, *notes)]


def test_changes_near_a_trouble_of_health() -> None:
    """A trouble of health begins at its onset, else when it was found: long ago if it is open, now if it is new."""
    sure, gone = finding(kind="health", onset=AT), finding("health:llama:unreachable", kind="health", onset=None)
    changes = [Near("before", AT - 60), Near("after", AT + BEFORE + 60)]
    entries = [OpenFinding(gone, AT, AT)]

    new, fresh = join([sure, gone], (), changes, AT + BEFORE)
    _, old = join([sure, gone], entries, changes, AT + BEFORE)
    assert [["before"], ["after"], ["before"]] == [[one.what for one in known.near] for known in (new, fresh, old)]


def test_what_got_slower_with_a_setting() -> None:
    """A setting says which regressions came with its change, found now or open and not judged just now."""
    other = finding("regression:llama:short:tpot", onset=AT + BEFORE, summary="TPOT is slow")
    early = finding("regression:llama:warm:ttft", onset=DRIFT.onset and DRIFT.onset - AFTER - 1)
    stale = open_finding(finding(onset=AT - 30, evidence={"effect": "as it was"}))

    drift, slow, *_ = join([DRIFT, SLOW, early], [stale, open_finding(other)], ())
    assert (Near("short TTFT +50%", AT),) == drift.near
    (drift,) = join([finding("rule:llama:host.x", kind="tuning", onset=AT)], [open_finding(other)], ())
    assert ((Near("TPOT is slow", AT + BEFORE),), ()) == (drift.near, slow.near)


def test_what_happened_is_put_into_words() -> None:
    """Changes that were seen are told, each by its plainest fact, restarts and notes; a first sight is no change."""
    known = past(
        [
            Change("cpu.governor", "performance", "powersave", AT - 60),
            Change("vm.swappiness", None, "60", AT - 50),
            Change(catalog.PROCESS_PID, "17", "18", AT - 40),
            Change(catalog.VERSION, "0.10", "0.11", AT - 40),
            Change(PACKAGE, "0.10", "0.11", AT - 40),
            Change(catalog.PROCESS_ARGUMENTS, "aa", "bb", AT - 40),
        ]
    )
    facts = [Fact("cpu.governor", "powersave", GOVERNOR), Fact(catalog.NUMA_CPUS, "0:0-63")]
    events = (Event("restart", AT - 40, AT - 40), Event("annotation", AT, AT, "image 0.33"))

    assert (
        Near("cpu.governor performance → powersave on 64 CPUs", AT - 60, "cpu.governor"),
        Near("vllm.version 0.10 → 0.11", AT - 40, catalog.VERSION),
        Near("process.arguments aa → bb", AT - 40, catalog.PROCESS_ARGUMENTS),
        Near("restart", AT - 40, "restart"),
        Near("annotation: image 0.33", AT, "annotation"),
    ) == happened(known, facts, events)


MOMENTS = st.lists(st.floats(AT - 10 * BEFORE, AT + 10 * BEFORE), max_size=MOST)


@given(MOMENTS, MOMENTS)
def test_the_join_goes_both_ways(slower: list[float], changed: list[float]) -> None:
    """Whatever the moments: a regression names a change if and only if that change's finding names the regression."""
    slow = [finding(f"r{n}", onset=at, evidence={"effect": str(n)}) for n, at in enumerate(slower)]
    drifts = [finding(f"t{n}", kind="tuning", onset=at) for n, at in enumerate(changed)]

    found = join([*slow, *drifts], (), [Near(str(n), at) for n, at in enumerate(changed)])

    names = [[(one.key[1:], near.what) for near in one.near] for one in found]
    forth = {pair for pairs in names[: len(slow)] for pair in pairs}
    back = {pair for pairs in names[len(slow) :] for pair in pairs}
    assert forth == {(regression, change) for change, regression in back}
