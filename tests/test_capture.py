"""Capturing: what makes a baseline, what is refused, and the table that it prints."""

import time
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path

import httpx
import pytest
from serving import simulated
from world import Calm, bird, world

from monitor import capture, catalog
from monitor.canary.canary import Server
from monitor.canary.stopwatch import Stopwatch
from monitor.cli.capture_session import before
from monitor.detect import capacity
from monitor.detect.ruler import Policy, ruler
from monitor.detect.strata import figure
from monitor.detect.users import series as of_users
from monitor.model import Context, Fact, Load, Probe, Reading, Traffic
from monitor.store.store import Store
from monitor.tuning.change import Change, changes

CONTEXT = Context("m", "http://x")
IDLE = Load(0.0, 0.0)
GOOD = Probe(
    at=0.0,
    profile="short",
    version="1",
    outcome="ok",
    ttft=0.1,
    tpot=0.02,
    e2e=0.16,
    itls=(0.01, 0.02, 0.03),
    prompt_tokens=10,
    output_tokens=4,
    before=IDLE,
    after=IDLE,
)
FAILED = replace(GOOD, outcome="rejected", ttft=None, tpot=None, e2e=None, itls=(), detail="HTTP 500")
LAGGED = replace(GOOD, lag=0.5)


def sample(good: int = 0, failed: int = 0, lagged: int = 0) -> list[Probe]:
    probes = [GOOD] * good + [FAILED] * failed + [LAGGED] * lagged
    return [replace(probe, at=float(index)) for index, probe in enumerate(probes)]


def test_good_sample_becomes_a_baseline() -> None:
    """A sample is kept in order, with its times, under its context and facts."""
    facts = (Fact(catalog.VERSION, "0.32.0"),)

    made = capture.make("good", CONTEXT, sample(good=20), facts, (), 50.0)

    assert ("good", CONTEXT, 50.0, facts) == (made.name, made.context, made.captured_at, made.facts)
    assert {"ttft": 20, "tpot": 20} == {series.metric: len(series.values) for series in made.series}
    assert tuple(map(float, range(20))) == made.series[0].times


@pytest.mark.parametrize(
    ("probes", "words"),
    [
        (sample(good=19), "19 comparable probes are too few: 20 are needed"),
        (sample(good=90, failed=10), "10 of 100 probes failed (last: rejected: HTTP 500)"),
        (
            sample(good=20, lagged=30),
            "30 of 50 probes could not be used: the monitor's own loop lagged by up to",
        ),
        ([], "0 comparable probes are too few"),
        ([replace(probe, warmup=True) for probe in sample(good=40)], "0 comparable probes are too few"),
    ],
)
def test_bad_sample_is_refused(probes: list[Probe], words: str) -> None:
    """A sample of trouble, of our own lateness or of too little makes no baseline, and the reason is told."""
    with pytest.raises(capture.CaptureError) as refused:
        capture.make("bad", CONTEXT, probes, (), (), 50.0)

    assert words in str(refused.value)


def test_every_reason_is_told() -> None:
    """All reasons come at once."""
    with pytest.raises(capture.CaptureError, match=r"too few.*vllm\.version 1 → 2 meanwhile"):
        capture.make("bad", CONTEXT, sample(good=1), (), [Change(catalog.VERSION, "1", "2")], 50.0)


def test_few_failures_are_allowed() -> None:
    """One failure in twenty does not spoil a sample; a fact that is no identity may change."""
    changed = [Change(catalog.KV_TOKENS, "100", "90")]

    assert capture.make("good", CONTEXT, sample(good=38, failed=2), (), changed, 50.0)


def test_changes() -> None:
    """Facts that differ are changes; facts that appear are none."""
    before = (Fact("a", "1"), Fact("b", "1"))
    after = (Fact("a", "1"), Fact("b", "2"), Fact("c", "1"))

    assert (Change("b", "1", "2"),) == changes(before, after)


def test_benchmark() -> None:
    """The table counts as `vllm bench serve` does: ITL over all gaps, latencies over successful requests."""
    result = capture.benchmark([GOOD, replace(GOOD, at=1.0, ttft=0.3), replace(FAILED, at=2.0)])

    assert (2, 1, 20, 8) == (
        result.completed,
        result.failed,
        result.total_input_tokens,
        result.total_output_tokens,
    )
    assert 2.0 == result.duration
    assert [200.0, 200.0, 298.0] == pytest.approx(list(astuple(result.ttft)))
    assert [20.0, 20.0, 30.0] == pytest.approx(list(astuple(result.itl)))


def test_benchmark_of_nothing() -> None:
    """Without one success there are no latencies, rather than zeros."""
    assert capture.Latency(None, None, None) == capture.benchmark([FAILED]).ttft
    assert 0 == capture.benchmark([]).completed


def test_unsteady_server_is_refused() -> None:
    """A sample whose halves differ is no baseline; a slow start that is over leaves one that is."""
    slower = [replace(one, at=one.at + 1e4, tpot=0.03) for one in sample(good=30)]
    with pytest.raises(capture.CaptureError, match=r"TPOT changed by \+50% from the first half to the second"):
        capture.make("drifting", CONTEXT, (*sample(good=30), *slower), (), (), 50.0)

    assert capture.make("steady", CONTEXT, sample(good=60), (), (), 50.0).series


def test_resolution_is_humble() -> None:
    """What a short baseline can detect is said with its limits."""
    policy = Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=1e-7)
    lines = capture.resolution(capture.make("good", CONTEXT, sample(good=20), (), (), 50.0), policy)

    assert "TPOT 20 ms (short@1 load 0): 20 probes, worth 20 independent ones" == lines[0]
    assert "short TPOT: sees +20% within 4 min" == lines[2]
    assert "captured in less than 24 h, or not every 60 s as watched: effects below 20% only inform" == lines[-1]


async def test_spoiled_probes_are_sent_again(tmp_path: Path) -> None:
    """As many probes as asked for count; each is told as it comes."""
    told: list[Probe] = []
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        got = await capture.probes(here.canary, "short", 5, 1e3, told.append)

    assert 5 == len(told)
    assert len(got) <= 10
    assert not any(probe.warmup for probe in got)


async def test_a_hanging_server_is_asked_no_more() -> None:
    """Three time-outs in a row end the warm-up, the sample and what is probed beside it: a hundred would take hours."""
    told: list[Probe] = []
    async with simulated(hang=True) as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        canary = bird(client, Stopwatch(Calm), timeout=0.05)
        canary.serves(Server("tiny", "0.32.0"))
        sent = await capture.probes(canary, "short", 100, 1e3, told.append)
        beside = await capture.extras(canary, ("warm", "long"), told.append)

    assert (["timeout"] * 3, 3) == ([probe.outcome for probe in sent], len(beside))


WARM = replace(GOOD, profile="warm", cold_ttft=0.4, tpot=None, itls=(), output_tokens=2)


def test_other_profiles_are_kept_and_forbid_nothing() -> None:
    """What was probed beside the sample is part of the baseline; its failures and changes of load refuse nothing."""
    beside = [WARM, replace(FAILED, profile="long"), replace(GOOD, profile="stall", after=Load(9.0, 0.0))]

    made = capture.make("good", CONTEXT, sample(good=20), (), (), 50.0, beside)

    assert {("short", 20), ("warm", 1)} == {(one.stratum.split("@")[0], len(one.values)) for one in made.series}
    assert ((0.25,), "warm_ratio") == (made.series[-1].values, made.series[-1].metric)


def test_other_profiles_make_no_baseline() -> None:
    """A sample that is too small is not made larger by what was probed beside it."""
    with pytest.raises(capture.CaptureError, match="19 comparable probes are too few"):
        capture.make("bad", CONTEXT, sample(good=19), (), (), 50.0, sample(good=20))


def test_answers_are_kept() -> None:
    """A baseline knows what was answered, the most frequent first; failures and answers of other words are none."""
    usual, odd = replace(GOOD, answer="aa", words=(1,), fixed=True), replace(GOOD, answer="bb", words=(2,), fixed=True)
    probes = [odd, *[usual] * 19, replace(FAILED, answer="cc"), replace(GOOD, answer="dd", words=(4,), fault="empty")]

    made = capture.make("good", CONTEXT, probes, (), (), 50.0, [replace(WARM, answer="ee", words=(5,), fixed=True)])

    assert [
        ("short", "aa", (1,), ""),
        ("short", "bb", (2,), ""),
        ("short", "", (), "empty"),
        ("warm", "ee", (5,), ""),
    ] == [(one.profile, one.digest, one.words, one.fault) for one in made.answers]


async def test_extras(tmp_path: Path) -> None:
    """Three probes of each other profile are sent, one profile after the other; each is told as it comes."""
    told: list[Probe] = []
    async with simulated() as server, world(tmp_path / "m.db", server.url) as here:
        got = await capture.extras(here.canary, ["warm", "completions"], told.append)

    assert tuple(told) == got
    assert [("warm", "ok")] * 3 + [("completions", "ok")] * 3 == [(probe.profile, probe.outcome) for probe in got]


def test_medians() -> None:
    """Each profile's medians are those of what went well; what was not measured is absent, and a failure says why."""
    slower = replace(WARM, ttft=0.3, cold_ttft=0.5)

    first, second = capture.medians([WARM, slower, replace(FAILED, profile="warm"), replace(FAILED, profile="long")])

    assert ("warm", 2, 1, "HTTP 500") == (first.profile, first.completed, first.failed, first.detail)
    assert [0.2, 0.45, 0.425] == pytest.approx([first.ttft, first.cold_ttft, first.warm_ratio])
    assert (None, None) == (first.tpot, first.itl_max)
    assert capture.Medians("long", 0, 1, None, None, None, None, None, "HTTP 500") == second


@pytest.mark.parametrize(("metric", "shown"), [("ttft", "61.73 ms"), ("itl_max", "61.73 ms"), ("warm_ratio", "0.062")])
def test_figures_have_their_unit(metric: str, shown: str) -> None:
    """A time is shown in milliseconds, a ratio as a number."""
    assert shown == figure(metric, 0.061728)


async def test_users_are_part_of_what_was_watched(tmp_path: Path) -> None:
    """A baseline keeps what users had meanwhile, survives the store, and is not judged by canaries for it."""
    users = of_users([Traffic(15.0 * index, 2.0, 0.2, 0.0) for index in range(60)])
    made = capture.make("watched", CONTEXT, sample(good=30), (), (), 50.0, users=users)
    with closing(Store(f"sqlite:///{tmp_path / 'm.db'}")) as store:
        store.baselines.save(made)
        kept = store.baselines.get("watched")

    assert capacity.Usual(2.0, 0.2) == capacity.usual(kept)
    policy = Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=1e-7)
    assert {"short"} == {profile for profile, _ in ruler(kept, policy).calibrations}


def test_users_of_the_hour_before(tmp_path: Path) -> None:
    """Canaries sent in a minute come with what users had in the hour before, since what is served changed last."""
    now = time.time()
    with closing(Store(f"sqlite:///{tmp_path / 'm.db'}")) as store:
        for index in range(200):
            had = {catalog.USERS_RATE: 2.0, catalog.USERS_TTFT: 0.2, catalog.USERS_TPOT: 0.02}
            at = now - 30.0 * index
            store.history.remember("tiny", (), [Reading(metric, value, at) for metric, value in had.items()])
        hour = before(store, "tiny")
        for version, ago in (("0.31.0", 9000.0), ("0.32.0", 2085.0)):
            store.history.note_facts("tiny", [Fact(catalog.VERSION, version)], now - ago)
        since_the_update = before(store, "tiny")

    assert {"request_rate", "users_ttft", "users_tpot"} == {one.metric for one in hour}
    assert [120, 70] == [len(told[0].values) for told in (hour, since_the_update)]
