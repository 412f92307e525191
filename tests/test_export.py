"""What Prometheus is shown: every name of the catalogue, nothing else, and nothing that is too old."""

import os
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from examples import AT, baseline, failed_probe, finding, open_finding, probe
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitor import catalog
from monitor.export.board import Board, Periods
from monitor.export.points import LONGEST_VALUE, MOST_NOTES
from monitor.model import (
    STATES,
    Acceptance,
    Beat,
    Condition,
    Event,
    Fact,
    Judgement,
    Near,
    OpenFinding,
    Reading,
    Rule,
    Ruling,
    Snapshot,
    State,
    labels,
)

GOLDEN = Path(__file__).parent / "goldens" / "metrics.prom"
PERIODS = Periods(beat=15.0, probe=60.0, node=20.0)

OUR_OWN = {catalog.STATE, catalog.RESTARTS}
"""What we say of a server, and no collector reads."""
USUAL = {"engine": "0", "governor": "performance", "node": "0", "resource": "cpu", "share": "some", "version": "0.32.0"}


def readings_of(*prefixes: str) -> tuple[Reading, ...]:
    """Give a reading of every metric of the catalogue whose name begins so; summaries as sum and count."""
    return tuple(
        Reading(metric.name + suffix, 2.0, AT, labels(**{name: USUAL.get(name, name) for name in own}))
        for metric in catalog.METRICS.values()
        if metric.name.removeprefix(catalog.PREFIX).startswith(prefixes) and metric.name not in OUR_OWN
        for own in [[name for name in metric.labels if name != "target"]]
        for suffix in (("_sum", "_count") if metric.kind == "summary" else ("",))
    )


OF_VLLM = readings_of("vllm_", "mlnode_")
OF_HOST = readings_of("host_", "accelerator_")
VLLM = Snapshot(
    "vllm",
    AT,
    0.02,
    OF_VLLM,
    (Fact(catalog.VERSION, "0.32.0", "/version"), Fact(catalog.MODEL_ROOT, None, "/v1/models", "not told")),
)
HOST = Snapshot("host", AT, 0.004, OF_HOST, (Fact(catalog.GOVERNOR, "performance", "/sys"),))
DEAD = Snapshot("vllm", AT, 5.0, error="http://gone:8000 does not answer")
WAITING = finding("health:gone:waiting", kind="health", severity="info", subject="waiting", group="health:gone")

ACCEPTED = (Acceptance("", "vm.swappiness", "60", AT - 90), Acceptance("llama", "vllm.version", "0.33.0", AT - 30))
RULE = Rule("host.swappiness", "host", Condition("vm.swappiness", "at most", ("1",)), (), "info", "why", "fix", "guide")
RULINGS = (
    Ruling(RULE, "mismatch", "60"),
    Ruling(replace(RULE, id="host.thp"), "match", "never"),
    Ruling(replace(RULE, id="host.epp"), "unreadable", why="no cpufreq here"),
)

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Clock:
    """The time that a board sees."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        """Give the time."""
        return self.at


def beat(snapshot: Snapshot = VLLM, target: str = "llama", **changes: object) -> Beat:
    """Give a beat as a watched server makes it."""
    parts: dict[str, object] = {
        "probes": (probe(),),
        "judgements": (
            Judgement("ttft", "short", 1.5, "", 0.052),
            Judgement("tpot", "short", None, "the baseline has too few samples of short@1 load 3-8"),
        ),
        "open": (open_finding(),),
        "baseline": baseline(),
    }
    return Beat(target, snapshot.at, 0.125, (snapshot,), snapshot.readings, **{**parts, **changes})  # type: ignore[arg-type] # a test's shorthand


def note(text: str, at: float = AT) -> Event:
    return Event("annotation", at, at, text)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def board(clock: Clock) -> Board:
    return Board(PERIODS, clock)


@pytest.fixture
def full(board: Board) -> Board:
    """Give a board that shows every family there is: a watched server, one that is gone, and the node."""
    warm = probe(profile="warm", cold_ttft=0.25, tpot=None, itls=(), output_tokens=2)
    events = (note("driver update", AT - 60), Event("restart", AT - 30, AT - 30), Event("mute", AT - 60, AT + 60))
    watched = beat(probes=(probe(), warm), state="alive", events=events, muted_until=AT + 60, restarted=True)
    board.show(replace(watched, rulings=RULINGS, accepted=ACCEPTED), stored=True)
    gone = OpenFinding(WAITING, AT, AT)
    seen = (Reading(catalog.VLLM_UP, 0.0, AT),)
    board.show(
        Beat("gone", AT, 5.0, (DEAD,), seen, (failed_probe(),), (), (gone,), None, state="waiting"),
        stored=False,
    )
    board.show_node((HOST,))
    board.show_self(0.003, {"team": 2, "boss": 0})
    board.events.skipped("gone", Counter({("short", "paused"): 3}))
    board.events.late("gone")
    board.events.attempted("team", True)
    board.events.attempted("team", False)
    return board


@pytest.fixture
def promtool() -> str:
    """Give the path of promtool; without it a test skips, and fails where nothing may be skipped."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("MONITOR_TEST_STRICT") == "1":
        pytest.fail("promtool is not installed: in Debian it is part of the package prometheus")
    if found is None:
        pytest.skip("promtool is not installed, so the names were NOT linted")
    return found


def text(board: Board) -> str:
    """Give the exposition, but what depends on the process and the versions that run the test."""
    lines = generate_latest(board.registry).decode().splitlines(keepends=True)
    ours = "".join(line for line in lines if "process_" not in line.split("{")[0])
    return re.sub(r'build_info\{python="[^"]+",version="[^"]+"\}', 'build_info{python="3",version="0"}', ours)


def series(board: Board, *, target: str | None = None) -> Series:
    """Give what is shown, without what is counted for ever and the process's own; of one target if asked."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text(board))
        if family.type not in {"counter", "histogram"}
        for sample in family.samples
        if target is None or sample.labels.get("target") == target
    }


def names(board: Board, target: str | None = None) -> set[str]:
    return {name.removeprefix(catalog.PREFIX) for name, _ in series(board, target=target)}


def test_golden(full: Board) -> None:
    """The exposition of everything is exactly the golden: names, labels and help are a contract."""
    compare(GOLDEN, text(full))


def test_the_golden_shows_the_whole_catalogue() -> None:
    """Every name of the catalogue is one that can be shown, with its help and kind; none is there twice."""
    families = list(parse_text(GOLDEN.read_text()))
    found = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in families
    }

    assert {name: (metric.kind, metric.help) for name, metric in catalog.METRICS.items()} == found
    assert len(families) == len(found)


def test_only_what_is_catalogued_is_shown(full: Board) -> None:
    """No sample has a name or a label that the catalogue lacks."""
    for family in parse_text(text(full)):
        metric = catalog.METRICS[family.name + ("_total" if family.type == "counter" else "")]
        allowed = {*metric.labels, *({"le"} if metric.kind == "histogram" else ())}
        assert [] == [sample for sample in family.samples if not set(sample.labels) <= allowed]


def test_no_series_is_shown_twice(full: Board) -> None:
    """Each combination of name and labels is there once: Prometheus would drop the second."""
    found = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in parse_text(text(full))
        for sample in family.samples
    ]

    assert sorted(set(found)) == sorted(found)


def test_openmetrics_says_the_same(full: Board) -> None:
    """The OpenMetrics exposition is valid and has exactly the samples of the text exposition."""
    exposition = openmetrics.generate_latest(full.registry).decode()  # type: ignore[no-untyped-call] # left untyped
    strict = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(exposition)  # type: ignore[no-untyped-call] # left untyped
        for sample in family.samples
        if "process_" not in sample.name and "build_info" not in sample.name
    }
    plain = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text(full))
        for sample in family.samples
        if "build_info" not in sample.name
    }

    assert plain == strict


def test_promtool_likes_the_names(promtool: str) -> None:
    """Prometheus's own linter has nothing to say about our names."""
    ended = subprocess.run(  # noqa: S603 - a tool found on PATH
        [promtool, "check", "metrics"], input=GOLDEN.read_text(), capture_output=True, text=True, check=False
    )

    assert (0, "", "") == (ended.returncode, ended.stdout, ended.stderr)


def test_node_scope_has_no_target(full: Board) -> None:
    """What belongs to the node or to the monitor carries no target; what belongs to a server always does."""
    found = {name.removeprefix(catalog.PREFIX) for name, pairs in series(full) if "target" not in dict(pairs)}
    of_host = {
        reading.metric.removeprefix(catalog.PREFIX) for reading in OF_HOST if not reading.metric.endswith("_total")
    }

    collector = {"collector_success", "collector_duration_seconds", "collector_last_success_timestamp_seconds"}
    own = {"build_info", "paging", "loop_lag_seconds", "deliveries_pending"}
    assert {*of_host, *collector, *own, "fact_info", "fact_accepted_timestamp_seconds"} == found


def test_nothing_seen_yet(board: Board) -> None:
    """A board that was told nothing shows only which monitor this is, and whether it pages, which alert rules ask."""
    paging = series(Board(PERIODS, Clock(), paging=True))[catalog.PAGING, ()]

    assert ({"build_info", "paging"}, 1.0) == (names(board), paging)


def test_unknown_is_absent(full: Board) -> None:
    """An unreadable fact, a metric without judgement and a failed look show no value, never a zero."""
    shown = series(full, target="llama")

    assert not [pairs for name, pairs in shown if name == catalog.FACT_INFO and ("fact", "vllm.model_root") in pairs]
    assert [] == [pairs for name, pairs in shown if name == catalog.BASELINE_RATIO and ("metric", "tpot") in pairs]
    gone = names(full, "gone")
    assert {
        "vllm_up",
        "vllm_state",
        "muted",
        "finding_active",
        "finding_since_timestamp_seconds",
        "heartbeat_timestamp_seconds",
        "heartbeat_duration_seconds",
        "store_success",
        "collector_success",
        "collector_duration_seconds",
    } == gone


def test_what_is_no_time_is_not_expected_in_seconds(board: Board) -> None:
    """What a baseline lets expect is shown of latencies; a ratio has no series among seconds."""
    expected = (Judgement("ttft", "warm", 1.0, "", 0.052), Judgement("warm_ratio", "warm", 1.0, "", 0.25))

    board.show(beat(judgements=expected), stored=True)

    found = {pairs: value for (name, pairs), value in series(board).items() if name == catalog.BASELINE_EXPECTED}
    assert {(("metric", "ttft"), ("profile", "warm"), ("target", "llama")): 0.052} == found


def test_findings_tell_since_when(full: Board) -> None:
    """An open finding shows when it began, which is not when it was found."""
    pairs = (("kind", "regression"), ("severity", "warning"), ("subject", "short ttft"), ("target", "llama"))

    assert open_finding().since == series(full)[catalog.FINDING_SINCE, pairs]


def test_a_failed_probe_has_no_latency(board: Board) -> None:
    """After a failed probe the last latencies are gone; when it last succeeded stays."""
    last = {f"canary_{name}" for name in ("last_ttft_seconds", "last_tpot_seconds", "last_e2e_seconds")}
    last |= {"canary_itl_max_seconds", "canary_warm_ratio"}
    board.show(beat(probes=(probe(cold_ttft=0.25),)), stored=True)
    assert last <= names(board)

    board.show(beat(probes=(failed_probe(at=AT + 60),)), stored=True)

    assert set() == last & names(board)
    pairs = (("profile", "short"), ("target", "llama"))
    assert AT == series(board)[catalog.CANARY_LAST_SUCCESS, pairs]


def test_a_short_answer_shows_what_was_measured(board: Board) -> None:
    """A probe whose answer had one token shows a TTFT and no TPOT."""
    board.show(beat(probes=(probe(tpot=None, itls=()),)), stored=True)

    assert "canary_last_ttft_seconds" in names(board)
    assert set() == {"canary_last_tpot_seconds", "canary_itl_max_seconds"} & names(board)


def test_an_old_beat_shows_no_readings(board: Board, clock: Clock) -> None:
    """When three beats are missing, readings are gone; findings and when the heart last beat stay."""
    board.show(beat(), stored=True)
    before = names(board, "llama")

    clock.at = AT + 45.1

    stays = {"finding_active", "finding_since_timestamp_seconds", "incident_active"}
    stays |= {"heartbeat_timestamp_seconds", "store_success"}
    of_the_canary = {name for name in before if name.startswith("canary_")}
    last_success = {"collector_last_success_timestamp_seconds"}
    assert {*stays, *of_the_canary, *last_success} == names(board, "llama")
    pairs = (("kind", "regression"), ("severity", "warning"), ("subject", "short ttft"), ("target", "llama"))
    assert 1.0 == series(board)[catalog.FINDING_ACTIVE, pairs]
    assert AT + 0.125 == series(board)[catalog.HEARTBEAT_AT, (("target", "llama"),)]


def test_a_beat_is_young_for_three_intervals(board: Board, clock: Clock) -> None:
    """Up to three missed intervals a beat is shown whole."""
    board.show(beat(), stored=True)
    before = series(board)

    clock.at = AT + 45.0

    assert before == series(board)


def test_an_old_probe_is_not_shown(board: Board, clock: Clock) -> None:
    """A latency is gone when three probes are missing, even while the heart beats."""
    clock.at = AT + 180.1
    board.show(beat(Snapshot("vllm", clock.at, 0.02, OF_VLLM)), stored=True)

    canary = {name for name in names(board) if name.startswith("canary_")}
    assert {"canary_last_success_timestamp_seconds"} == canary


def test_an_old_look_at_the_node_is_not_shown(board: Board, clock: Clock) -> None:
    """The node's readings are gone when three looks are missing; when it was last seen stays."""
    board.show_node((HOST,))
    clock.at = AT + 60.1

    stays = {"collector_last_success_timestamp_seconds", "heartbeat_timestamp_seconds"}

    assert {"build_info", "paging", *stays} == names(board)


def test_what_vanished_is_gone(board: Board) -> None:
    """A device, engine or finding that the next beat does not have is not shown any more."""
    board.show(beat(), stored=True)
    board.show(beat(Snapshot("vllm", AT, 0.02, OF_VLLM[:1]), open=(), baseline=None, judgements=()), stored=True)

    assert set() == {"finding_active", "baseline_info", "judged", "vllm_requests_running"} & names(board)


@pytest.mark.parametrize("state", STATES)
def test_the_state_is_one_of_a_set(board: Board, state: State) -> None:
    """Of all states exactly the one that the server is in is 1: each has a series, so that none goes stale."""
    board.show(beat(state=state), stored=True)

    shown = {dict(pairs)["state"]: value for (name, pairs), value in series(board).items() if name == catalog.STATE}
    assert {one: float(one == state) for one in STATES} == shown


def test_muted(board: Board) -> None:
    """Whether a target is muted is 1 or 0, never absent while its heart beats."""
    seen = []
    for until in (None, AT + 60):
        board.show(beat(muted_until=until), stored=True)
        seen.append(series(board)[catalog.MUTED, (("target", "llama"),)])

    assert [0.0, 1.0] == seen


def notes(board: Board) -> dict[str, float]:
    """Give the annotations that are shown, with their moments."""
    return {
        dict(pairs)["annotation"]: value for (name, pairs), value in series(board).items() if name == catalog.ANNOTATION
    }


def test_the_newest_annotations_are_shown(board: Board) -> None:
    """A few annotations are shown, the newest ones, each with its moment; mutes and restarts are none."""
    told = [note(f"deploy {number}", AT + number) for number in range(MOST_NOTES + 2)]
    others = (Event("mute", AT, AT + 60, "no deploy"), Event("restart", AT + 9, AT + 9))
    board.show(beat(events=(*told, *others)), stored=True)

    assert {event.text: event.at for event in told[2:]} == notes(board)


def test_a_long_annotation_is_cut(board: Board) -> None:
    """What is the same text once it is cut is one series, with its newest moment; a text told again is too."""
    longest = "x" * LONGEST_VALUE
    told = (note(f"{longest}yes"), note("deploy"), note(f"{longest}no", AT + 1), note("deploy", AT + 2))
    board.show(beat(events=told), stored=True)

    assert {longest: AT + 1, "deploy": AT + 2} == notes(board)
    assert 2 == text(board).count(f"\n{catalog.ANNOTATION}{{")


def test_a_note_told_again_is_among_the_newest(board: Board) -> None:
    """An old text that is told again is not forgotten for those in between."""
    between = [note(f"deploy {number}", AT + number) for number in range(MOST_NOTES)]
    board.show(beat(events=(note("again", AT - 1), *between, note("again", AT + 9))), stored=True)

    assert {"again", *(event.text for event in between[1:])} == set(notes(board))


def test_restarts_are_counted(board: Board) -> None:
    """Each restart that a beat saw counts once."""
    for restarted in (True, False, True):
        board.show(beat(restarted=restarted), stored=True)

    assert 2.0 == board.registry.get_sample_value(catalog.RESTARTS, {"target": "llama"})


def test_warm_ratio(board: Board) -> None:
    """How much faster a prompt just seen is begun is shown of the profile that sends it twice, and of no other."""
    board.show(beat(probes=(probe(), probe(profile="warm", ttft=0.05, cold_ttft=0.25))), stored=True)

    shown = {pairs: value for (name, pairs), value in series(board).items() if name == catalog.CANARY_WARM_RATIO}
    assert {(("profile", "warm"), ("target", "llama")): 0.2} == shown


def test_incidents_are_shown_with_their_first_cause(board: Board) -> None:
    """Each cause of an open incident is one series, however many incidents it has, also where none is known."""
    near = (Near("vm.swappiness 0 → 60", AT - 60, "vm.swappiness"), Near("restart", AT - 90, "restart"))
    slow = finding(near=near)
    found = [OpenFinding(slow, AT, AT), OpenFinding(finding("long"), AT + 1e4, AT), OpenFinding(slow, AT + 2e4, AT)]
    board.show(beat(open=tuple(found)), stored=True)

    assert [
        'vllm_monitor_incident_active{cause="vm.swappiness",target="llama"} 1.0',
        'vllm_monitor_incident_active{cause="unknown",target="llama"} 1.0',
    ] == [line for line in text(board).splitlines() if line.startswith(catalog.INCIDENT_ACTIVE)]


def test_findings_are_shown_before_the_first_beat(board: Board) -> None:
    """After a restart what was open is shown at once, and nothing that was not seen yet."""
    board.show_open("llama", (open_finding(),), AT)

    assert {"finding_active", "finding_since_timestamp_seconds", "incident_active"} == names(board, "llama")


def test_a_long_fact_is_cut(board: Board) -> None:
    """A fact's value is bounded: Prometheus keeps label values for long."""
    board.show_node((Snapshot("host", AT, 0.0, (), (Fact(catalog.KERNEL, "x" * 1000),)),))

    values = [dict(pairs)["value"] for name, pairs in series(board) if name == catalog.FACT_INFO]
    assert ["x" * LONGEST_VALUE] == values


@given(value=st.text(max_size=200).filter(lambda text: text != ""))
def test_any_text_can_be_a_label(value: str) -> None:
    """Whatever a server calls itself, the exposition stays readable and says it."""
    board = Board(PERIODS, Clock())
    board.show_node((Snapshot("host", AT, 0.0, (), (Fact(catalog.KERNEL, value),)),))

    found = [
        sample.labels["value"]
        for family in parse_text(text(board))
        for sample in family.samples
        if sample.name == catalog.FACT_INFO
    ]
    assert [value[:LONGEST_VALUE]] == found


def test_rendering_changes_nothing(full: Board) -> None:
    """Two scrapes of one moment are the same."""
    assert text(full) == text(full)


def test_alive(board: Board, clock: Clock) -> None:
    """A heart is alive from its first beat on, until three are missing; what was open before is no beat."""
    assert not board.alive("llama")
    board.show_open("llama", (open_finding(),), AT)
    assert not board.alive("llama")
    board.show(beat(DEAD), stored=False)
    assert board.alive("llama")
    clock.at = AT + 45.1
    assert not board.alive("llama")


def test_counters_go_on(board: Board) -> None:
    """What we did ourselves is counted for ever: probes by outcome, tokens by kind, and latencies of good ones."""
    for number in range(3):
        board.show(beat(probes=(probe(at=AT + number), failed_probe(at=AT + number))), stored=True)
    pairs = {"target": "llama", "profile": "short"}

    def value(name: str, **more: str) -> float | None:
        return board.registry.get_sample_value(name, {**pairs, **more})

    assert (6.0, 3.0) == (value(catalog.CANARY_PROBES), value(catalog.CANARY_FAILURES, reason="unreachable"))
    assert (42.0, 48.0) == (value(catalog.CANARY_TOKENS, kind="prompt"), value(catalog.CANARY_TOKENS, kind="output"))
    assert (3.0, 3.0) == (value(f"{catalog.CANARY_TTFT}_count"), value(f"{catalog.CANARY_TPOT}_count"))
    assert (3.0, 0.0) == (
        value(f"{catalog.CANARY_TTFT}_bucket", le="0.05"),
        value(f"{catalog.CANARY_TTFT}_bucket", le="0.03"),
    )


def test_what_is_accepted_is_shown_once(board: Board) -> None:
    """When a setting was accepted is shown, of the node's settings once though each target's beat knows it."""
    older, newer = (Acceptance("", "vm.swappiness", "60", at) for at in (AT - 90, AT - 30))
    board.show(beat(accepted=(older,)), stored=True)
    board.show(beat(target="qwen", accepted=(newer, Acceptance("qwen", "vllm.version", "2", AT))), stored=True)

    assert {
        (("fact", "vm.swappiness"),): AT - 30,
        (("fact", "vllm.version"), ("target", "qwen")): AT,
    } == {pairs: value for (name, pairs), value in series(board).items() if name == catalog.FACT_ACCEPTED}


def test_rules_are_shown_as_they_fare(full: Board) -> None:
    """A rule that is met is 1, one that is not is 0, and one that cannot be read is absent."""
    shown = {dict(pairs)["rule"]: value for (name, pairs), value in series(full).items() if name == catalog.RULE_MATCH}

    assert {"host.swappiness": 0.0, "host.thp": 1.0} == shown
