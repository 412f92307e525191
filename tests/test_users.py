"""Users' own figures as evidence: how they stand against the baseline's, and what is said of that."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from examples import AT, finding
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog, derive, health, judge
from monitor.alert.evidence import document, said
from monitor.alert.message import sentence
from monitor.detect import users, verdict
from monitor.detect.strata import OF_USERS, figure, title, unit
from monitor.incident import incidents
from monitor.model import Baseline, Context, Fact, OpenFinding, Reading, Snapshot, Standing, Traffic
from monitor.store.store import Store
from monitor.tuning.ruling import Rulebook

FIGURES = {"users_tpot": 0.02, "users_e2e": 1.0, "hit_ratio": 0.8, "token_rate": 48.0, "preemption_rate": 0.0}
THEN = [Traffic(15.0 * index, 2.0, 0.2, 0.0, FIGURES) for index in range(100)]
BASELINE = Baseline("good", Context("m", "http://x"), 1500.0, users.series(THEN), (Fact(catalog.VERSION, "0.32.0"),))


def intervals(
    count: int, start: float = 3000.0, rate: float = 2.0, ttft: float = 0.2, **figures: float
) -> list[Traffic]:
    """Give intervals later than the baseline, as usual but for what is named."""
    return [Traffic(start + 15.0 * index, rate, ttft, 0.0, FIGURES | figures) for index in range(count)]


def stand(lately: list[Traffic], since: float = 0.0, moved: Iterable[str] = ()) -> dict[str, tuple[float, float]]:
    """Give each figure now and then, as it is at the end of some intervals."""
    told = users.standings(lately, users.known(BASELINE), since, lately[-1].at, set(moved))
    return {one.metric: (one.now, one.then) for one in told}


def test_figures_now_and_then() -> None:
    """Each figure that is known now and was known then is told with both; rare events as their mean."""
    now = [*intervals(9, ttft=0.3, users_tpot=0.03, hit_ratio=0.3), *intervals(1, 3135.0, preemption_rate=2.0)]

    assert {
        "request_rate": (2.0, 2.0),
        "users_ttft": (0.3, 0.2),
        "users_tpot": (0.03, 0.02),
        "users_e2e": (1.0, 1.0),
        "hit_ratio": (0.3, 0.8),
        "token_rate": (48.0, 48.0),
        "preemption_rate": (0.2, 0.0),
    } == stand(now)


def test_only_what_came_since() -> None:
    """What was before the slowness began, or more than ten minutes ago, does not dilute it."""
    slow = intervals(10, 3600.0, users_tpot=0.03)

    assert (0.03, 0.02) == stand([*intervals(40), *slow], since=3599.0)["users_tpot"]
    assert (0.03, 0.02) == stand([*intervals(40, 2400.0), *intervals(30, 3600.0, users_tpot=0.03)])["users_tpot"]


@pytest.mark.parametrize("now", [intervals(4), intervals(10, rate=3.1), intervals(10, rate=1.3)])
def test_too_little_to_compare_is_absent(now: list[Traffic]) -> None:
    """With few intervals now, or with more or fewer requests than the baseline knows, nothing is told."""
    assert {} == stand(now)


@pytest.mark.parametrize(("count", "told"), [(19, False), (20, True)])
def test_too_little_to_compare_with_is_absent(count: int, told: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """At a load that the baseline saw in fewer than twenty intervals nothing is told."""
    then = [*THEN, *intervals(count, 1500.0, rate=8.0)]

    assert told == bool(users.standings(intervals(10, rate=8.0), then, 0.0, 3200.0, ()))


def test_a_figure_that_one_side_lacks_is_absent() -> None:
    """What is not known now or was not known then is not told, and nothing stands for it."""
    now = [replace(one, figures={"users_tpot": 0.02, "kv_usage": 0.5}) for one in intervals(10)]

    assert {"request_rate", "users_ttft", "users_tpot"} == stand(now).keys()


def test_what_changed_its_meaning_is_absent() -> None:
    """A figure that vLLM began to count from elsewhere is not compared."""
    assert {"users_ttft", "users_e2e"} == stand(intervals(10)).keys() - stand(
        intervals(10), moved=[catalog.USERS_TTFT, catalog.USERS_E2E]
    ).keys()


def test_a_baseline_keeps_enough_and_no_more() -> None:
    """What a baseline knows of users comes back as it was, of a long time a part of it; of too little nothing."""
    week = [replace(THEN[0], at=15.0 * index) for index in range(40_000)]
    kept = users.known(replace(BASELINE, series=users.series(week)))

    assert tuple(THEN) == users.known(BASELINE)
    assert users.MOST / 2 < len(kept) <= users.MOST
    assert kept[-1].at > week[-100].at
    assert () == users.series(THEN[: users.LEAST - 1])
    assert () == users.known(None)


@given(st.floats(0.01, 100.0), st.permutations(intervals(12, users_tpot=0.03)))
def test_scale_and_order_change_nothing(scale: float, now: list[Traffic]) -> None:
    """However quick a server is, the same slowdown stands the same, in whatever order intervals come."""
    known = users.known(BASELINE)

    def scaled(rows: Iterable[Traffic]) -> list[Traffic]:
        return [replace(one, figures={"users_tpot": one.figures["users_tpot"] * scale}) for one in rows]

    plain = {one.metric: one.change for one in users.standings(now, known, 0.0, 3200.0, ())}
    same = {one.metric: one.change for one in users.standings(scaled(now), scaled(known), 0.0, 3200.0, ())}

    assert plain["users_tpot"] == pytest.approx(same["users_tpot"])


def looked(at: float, running: float = 0.0, **counts: float) -> Snapshot:
    """Look at a server of which some counters are known."""
    names = {
        "begun": f"{catalog.USERS_TTFT}_count",
        "waited": f"{catalog.USERS_TTFT}_sum",
        "decoded": catalog.GENERATION_TOKENS,
        "preempted": catalog.PREEMPTIONS,
    }
    known = [Reading(catalog.RUNNING, running, at), Reading(catalog.KV_USAGE, 0.5, at)]
    return Snapshot("vllm", at, 0.1, (*known, *(Reading(names[name], count, at) for name, count in counts.items())))


def test_rates_of_an_interval() -> None:
    """Tokens per second are of each request that runs, from the mean of two looks; preemptions count per second."""
    first = looked(0.0, 2.0, begun=1, waited=0.2, decoded=100, preempted=3)
    second = looked(10.0, 4.0, begun=21, waited=4.2, decoded=700, preempted=8)
    told = derive.interval(first, second, derive.Users(), clean=True)

    assert Traffic(10.0, 2.0, 0.2, 0.0, {"token_rate": 20.0, "kv_usage": 0.5, "preemption_rate": 0.5}) == told.traffic
    assert {catalog.USERS_RATE: 2.0, catalog.TOKEN_RATE: 20.0, catalog.PREEMPTION_RATE: 0.5}.items() <= {
        one.metric: one.value for one in told.readings
    }.items()


@pytest.mark.parametrize(
    ("second", "clean", "told"),
    [
        (looked(10.0, begun=21, waited=4.2, decoded=700), True, {catalog.USERS_RATE}),  # nobody runs at either look
        (looked(10.0, 2.0, preempted=9), True, {catalog.PREEMPTION_RATE}),
        (looked(10.0, 2.0, begun=21, waited=4.2, decoded=700, preempted=9), False, set()),
        (looked(0.0, 2.0, begun=21, waited=4.2, decoded=700, preempted=9), True, set()),
    ],
)
def test_rates_that_are_not_known(second: Snapshot, clean: bool, told: set[str]) -> None:  # noqa: FBT001 - a parameter of the cases
    """What a server does not count, what our canaries had a part in, or what took no time, has no rate."""
    first = looked(0.0, begun=1, waited=0.2, decoded=100, preempted=3)
    shown = {one.metric for one in derive.interval(first, second, derive.Users(), clean=clean).readings}

    assert told == shown & {catalog.USERS_RATE, catalog.TOKEN_RATE, catalog.PREEMPTION_RATE}


def test_what_was_stored_is_what_was_seen(tmp_path: Path) -> None:
    """What users had in an interval comes back from the store as it was, but for who waited."""
    first = looked(0.0, 2.0, begun=1, waited=0.2, decoded=100, preempted=3)
    seen = derive.interval(
        first, looked(10.0, 4.0, begun=21, waited=4.2, decoded=700, preempted=8), derive.Users(), clean=True
    )
    store = Store(f"sqlite:///{tmp_path / 'm.db'}")
    store.history.remember("llama", (), seen.samples)
    kept = store.history.traffic("llama", 0.0)
    store.close()

    assert (seen.traffic,) == kept


TERMS = judge.Terms(
    "llama", ("short",), verdict.Policy(180.0, 600.0, 60.0, 1e-7), health.Patience(60.0, 1800.0), Rulebook((), {})
)
SLOW = OpenFinding(finding(subject="short tpot", evidence={"effect": "short TPOT +45%"}), AT - 300, AT)


def words(*standings: Standing, entry: OpenFinding = SLOW) -> str:
    """Say what users have beside an incident."""
    (incident,) = incidents("llama", [entry], standings)
    return said(incident)


def has(metric: str, change: float) -> Standing:
    """Give a figure that changed by so much."""
    return Standing(metric, 1.0 + change, 1.0, 600.0)


@pytest.mark.parametrize(
    ("standings", "expected"),
    [
        ([has("users_tpot", 0.38), has("users_e2e", 0.4), has("users_ttft", 0.02)], "users' E2E +40%, TPOT +38%, too"),
        ([has("users_e2e", 0.01), has("users_ttft", -0.2)], "users' requests do not show it (E2E +1%)"),
        ([has("users_queue", 9.0), has("hit_ratio", 9.0)], ""),
        ([Standing("users_ttft", 0.2, 0.0, 600.0)], ""),
        ([], ""),
    ],
)
def test_said_of_users(standings: list[Standing], expected: str) -> None:
    """It is said which of users' times are longer, too, or that none is; where none is known, nothing."""
    assert expected == words(*standings)


def test_said_beside_lost_capacity() -> None:
    """Capacity is lost by users' TTFT: that is not said twice, and that others are well is no doubt."""
    lost = replace(SLOW, finding=replace(SLOW.finding, subject="capacity"))

    assert "users' E2E +40%, too" == words(has("users_ttft", 0.9), has("users_e2e", 0.4), entry=lost)
    assert "" == words(has("users_ttft", 0.9), has("users_e2e", 0.0), entry=lost)


def test_a_sentence_with_users() -> None:
    """A sentence says what is wrong, since when, whether users have it, and why; not so of a trouble of health."""
    (slow,) = incidents("llama", [SLOW], (has("users_tpot", 0.38),))
    ill = OpenFinding(finding(kind="health", subject="hung"), AT, AT)
    (alone,) = incidents("llama", [ill], (has("users_tpot", 0.38),))

    assert "llama: short TPOT +45% since 2027-01-15 07:55:00 UTC; users' TPOT +38%, too; no cause is known" == sentence(
        slow
    )
    assert () == alone.users


@pytest.mark.parametrize(
    ("standing", "shown"),
    [
        (Standing("users_tpot", 0.03, 0.02, 240.0), "30 ms, baseline 20 ms (+50%)"),
        (Standing("hit_ratio", 0.3, 0.8, 240.0), "0.300, baseline 0.800 (-62%)"),
        (Standing("preemption_rate", 0.2, 0.0, 240.0), "0.2, baseline 0"),
    ],
)
def test_a_figure_with_unit_and_source(standing: Standing, shown: str) -> None:
    """A figure is told with name, unit, source and how long it is of; a change from nothing has no ratio."""
    assert {
        "figure": title(standing.metric),
        "metric": derive.FIGURES[standing.metric],
        "unit": unit(standing.metric),
        "now": standing.now,
        "baseline": standing.then,
        "change_ratio": standing.change,
        "seconds": 240.0,
        "said": shown,
    } == document(standing)


def test_every_figure_has_a_name_and_a_unit() -> None:
    """No figure is called by its name in the program, nor taken for a time that is none."""
    assert derive.FIGURES.keys() == OF_USERS.keys()
    assert ["2", "0.500", "20 ms"] == [
        figure(name, value) for name, value in (("request_rate", 2.0), ("hit_ratio", 0.5), ("users_tpot", 0.02))
    ]


def beats(memory: judge.Memory, traffic: Iterable[Traffic], **also: Any) -> judge.Judged:
    """Judge a beat for each interval; give what the last one said."""
    for one in traffic:
        seen = judge.Seen(Snapshot("vllm", one.at, 0.1), (), traffic=one, process=False, **also)
        memory, told = judge.judge(memory, seen, [OpenFinding(finding(), 2990.0, 3000.0)], TERMS)
    return told


@pytest.mark.parametrize(
    ("model", "version", "told"),
    [("m", "0.32.0", {"users_ttft", "users_tpot"}), ("other", "0.32.0", set()), ("m", "0.16.0", {"users_tpot"})],
)
def test_beside_an_open_regression(model: str, version: str, told: set[str]) -> None:
    """While a regression is open, though it cannot be judged, users' figures stand beside it; not those of another
    model, nor those that another version counts differently.
    """
    memory = judge.against(judge.fresh(TERMS, seen=True), BASELINE, (), TERMS)
    facts = (Fact(catalog.VERSION, version),)
    judged = beats(memory, intervals(10, users_tpot=0.03), facts=facts, model=model)

    assert told == {one.metric for one in judged.users} & {"users_ttft", "users_tpot"}


def test_since_the_last_of_several() -> None:
    """Of several regressions the last that began says since when users' figures count."""
    memory = judge.against(judge.fresh(TERMS, seen=True, traffic=intervals(20)), BASELINE, (), TERMS)
    now = intervals(10, 3300.0, users_tpot=0.03)
    entries = [OpenFinding(finding(name), since, since) for name, since in (("old", 2000.0), ("new", 3299.0))]
    for one in now:
        seen = judge.Seen(Snapshot("vllm", one.at, 0.1), (), (), "m", process=False, traffic=one)
        memory, told = judge.judge(memory, seen, entries, TERMS)

    assert {now[-1].at - 3299.0} == {one.seconds for one in told.users}


def test_nothing_beside_a_healthy_server() -> None:
    """Users' figures alone open nothing, and while nothing is open they are not told."""
    memory = judge.against(judge.fresh(TERMS, seen=True), BASELINE, (), TERMS)
    for one in intervals(60, users_tpot=0.2, users_e2e=9.0, preemption_rate=5.0, hit_ratio=0.0):
        seen = judge.Seen(Snapshot("vllm", one.at, 0.1), (), (), "m", process=False, traffic=one)
        memory, told = judge.judge(memory, seen, (), TERMS)

    assert ((), []) == (told.users, [one.key for one in told.findings if one.kind == "regression"])
