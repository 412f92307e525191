"""Recorded probes judged again: what serve would have found, of a file and of the store alike."""

import csv
import random
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from commands import Cli
from hypothesis import given
from hypothesis import strategies as st

from monitor import backtest
from monitor.detect.ruler import Policy
from monitor.detect.strata import series
from monitor.importers import rows
from monitor.importers.reading import FileError
from monitor.model import Baseline, Context, Event, Load, Near, Probe
from monitor.store.store import Store

AT = 1_790_000_000.0
ENDPOINT = "http://localhost:9"
"""The server of the tests' command line, as baselines name it."""
DAY = 1500
"""Probes of a baseline: 25 hours, one a minute."""
STEP, BACK, END = DAY + 200, DAY + 300, DAY + 500
HEADER = ",".join(rows.NEEDED)
ROW = "short,0.05,0.01,0.2,0,0"
POLICY = Policy(opens_after=180.0, stale_after=600.0, every=60.0, rate=1e-7)


def recorded(slowness: float, start: float = AT, model: str = "") -> list[Probe]:
    """Draw two days of probes with a healthy server's noise, of which a hundred are slower."""
    rng = random.Random(7)
    idle = Load(0.0, 0.0)
    drawn = []
    for index in range(END):
        by = rng.lognormvariate(0.0, 0.03) * (slowness if STEP <= index < BACK else 1.0)
        at = start + 60.0 * index
        figures = {"ttft": 0.05 * by, "tpot": 0.01 * by, "e2e": 0.2 * by}
        drawn.append(Probe(at, "short", "1", "ok", **figures, before=idle, after=idle, model=model))  # type: ignore[arg-type]
    return drawn


def replayed(probes: list[Probe], events: Iterable[Near] = ()) -> backtest.Outcome:
    made = Baseline("good", Context("", ""), AT + 60.0 * DAY, series(probes[:DAY]))
    return backtest.replay("llama", made, probes, ["short"], POLICY, 15.0, events)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path, "http://127.0.0.1:9")


def written(cli: Cli, probes: Iterable[Probe]) -> str:
    (cli.folder / "month.csv").write_text(rows.write(probes))
    return "month.csv"


def test_a_step_and_its_recovery_are_found() -> None:
    """A slowdown of 20 % for a hundred minutes is found, since its first probes, and over when it is over."""
    found = replayed(recorded(1.2)).episodes

    assert {"short ttft", "short tpot"} == {one.finding.subject for one in found}
    assert {"warning"} == {one.finding.severity for one in found}
    step, back = AT + 60.0 * STEP, AT + 60.0 * BACK
    first, last = found[0], found[-1]
    assert all(abs(one.onset_at - step) <= 180.0 for one in found)
    assert 180.0 <= first.opened_at - first.onset_at <= 600.0
    assert 0.2 == pytest.approx(last.change_ratio, abs=0.03)
    assert last.closed_at is not None
    assert 0.0 < last.closed_at - back <= 1200.0


def test_what_opens_together_is_one_page() -> None:
    """TTFT and TPOT that become slow together are one page."""
    outcome = replayed(recorded(1.6))
    openings = {round(one.opened_at / 60.0) for one in outcome.episodes}

    assert all(one.pages for one in outcome.episodes)
    assert len(openings) == outcome.pages
    assert len(outcome.episodes) > outcome.pages


def test_a_healthy_server_is_not_blamed() -> None:
    """Nothing is found of probes like the baseline's, and all of them were judged."""
    outcome = replayed(recorded(1.0))

    assert ((), 0) == (outcome.episodes, outcome.pages)
    assert [("ttft", END - DAY, ()), ("tpot", END - DAY, ())] == [
        (one.metric, one.judged, one.unjudged) for one in outcome.tallies
    ]


def test_what_is_open_at_the_end_stays_open() -> None:
    """A slowness that lasts to the end has no time of closing."""
    found = replayed(recorded(1.6)[: BACK - 10]).episodes

    assert [None, None] == [one.closed_at for one in found[-2:]]


def test_a_finding_is_as_grave_as_it_became() -> None:
    """A slowness that grows beyond 50 % is critical, and its change is the usual one while it was open."""
    probes = recorded(1.3)
    worse = [replace(one, ttft=2 * (one.ttft or 0.0)) for one in probes[BACK - 40 : BACK]]

    found = replayed([*probes[: BACK - 40], *worse, *probes[BACK:]]).episodes

    grown = [one for one in found if one.finding.subject == "short ttft"][-1]
    assert "critical" == grown.finding.severity
    assert 0.3 == pytest.approx(grown.change_ratio, abs=0.05)


def test_what_happened_is_shown_beside() -> None:
    """A finding names what happened within the hour before its onset, and nothing older."""
    step = AT + 60.0 * STEP
    near, far = Near("image 0.33", step - 600.0), Near("lunch", step - 7200.0)

    assert {(near,)} == {one.finding.near for one in replayed(recorded(1.3), [far, near]).episodes}


def test_loads_that_the_baseline_does_not_know_are_told() -> None:
    """Probes at a load without samples are not judged, and counted with the reason; three slow ones are a transient."""
    probes = recorded(1.0)
    busy = [replace(one, before=Load(9.0, 0.0), after=Load(9.0, 0.0)) for one in probes[-50:]]
    slow = [replace(one, ttft=0.5) for one in probes[DAY + 50 : DAY + 53]]

    outcome = replayed([*probes[: DAY + 50], *slow, *probes[DAY + 53 : -50], *busy])

    ttft = outcome.tallies[0]
    assert (END - DAY - 50, (("the baseline has too few samples at this load", 50),)) == (ttft.judged, ttft.unjudged)
    assert [1, 0] == [one.transients for one in outcome.tallies]


def test_dense_probes_open_with_the_beat() -> None:
    """With a probe a second a finding still opens on a heartbeat, and not before it has held."""
    probes = [replace(one, at=AT + index) for index, one in enumerate(recorded(2.0))]
    made = Baseline("good", Context("", ""), AT + DAY, series(probes[:DAY]))

    outcome = backtest.replay("llama", made, probes, ["short"], replace(POLICY, opens_after=20.0, every=1.0), 15.0)

    assert {0.0} == {(one.opened_at - (AT + DAY)) % 15.0 for one in outcome.episodes}
    assert all(one.opened_at - one.onset_at >= 20.0 for one in outcome.episodes)


def test_cadence() -> None:
    """A profile's own gaps count; jitter around the configured cadence is that cadence."""
    probes = [
        replace(one, profile=name, at=one.at + 30.0 * (name == "warm"))
        for one in recorded(1.0)[:9]
        for name in ("short", "warm")
    ]

    assert (60.0, 62.0, 60.0) == (
        backtest.cadence(probes, 60.0), backtest.cadence(probes, 62.0), backtest.cadence(probes, 15.0)
    )  # fmt: skip
    with pytest.raises(backtest.BacktestError, match="too few probes at different times"):
        backtest.cadence(probes[:2], 60.0)


def test_the_document(cli: Cli) -> None:
    """The JSON holds what the contract says of each finding, and what the baseline can detect."""
    document = cli.json("backtest", written(cli, recorded(1.6)))

    assert {"baseline", "findings", "pages", "every_seconds", "judged"} == document.keys()
    assert ("month", AT + 60.0 * DAY) == (document["baseline"]["name"], document["baseline"]["captured_at"])
    assert any(line.startswith("short TPOT: sees") for line in document["baseline"]["detects"])
    keys = {"metric", "profile", "opened_at", "onset_at", "closed_at", "change_ratio", "severity", "pages", "near"}
    assert {tuple(sorted(keys))} == {tuple(sorted(one)) for one in document["findings"]}
    assert {("short", "critical", True)} == {
        (one["profile"], one["severity"], one["pages"]) for one in document["findings"]
    }
    assert 60.0 == document["every_seconds"]
    assert {("ttft", 500), ("tpot", 500)} == {(one["metric"], one["probes"]) for one in document["judged"]}


def test_the_report(cli: Cli) -> None:
    """People read what the baseline sees, each finding with its times, and how many pages that were."""
    lines = rows.write(recorded(1.6)).splitlines()
    header, before, after = f"{lines[0]},event", lines[1 : STEP + 1], lines[STEP + 1 :]
    deploy = f"{AT + 60.0 * STEP - 1},,,,,,,,,,,,deploy 0.33"
    rowed = [header, *(f"{line}," for line in before), deploy, *(f"{line}," for line in after)]
    (cli.folder / "month.csv").write_text("\n".join(rowed))

    text = cli.run("backtest", "month.csv").stdout

    assert "Baseline 'month', until 2026-09-22 15:13:20 UTC. It can detect:" in text
    assert "short TTFT: 500 probes judged" in text
    assert " critical  2026-09-22 18:33:20 UTC  2026-09-22 18:" in text
    assert "deploy 0.33 at 2026-09-22 18:33:19 UTC" in text
    assert "what opens together is one page." in text


def test_nothing_found_is_fine(cli: Cli) -> None:
    """It is a question: that nothing would have been found is an answer, and so is a finding."""
    assert cli.run("backtest", written(cli, recorded(1.0))).stdout.endswith("Nothing would have been found.\n")


def test_small_effects_only_inform(cli: Cli) -> None:
    """Against a short baseline a small slowdown is told and would have paged nobody."""
    path = written(cli, recorded(1.18)[DAY - 300 :])

    text = cli.run("backtest", path, "--baseline-until", str(AT + 60.0 * DAY)).stdout

    assert "Would have paged 0 times" in text
    assert "only inform" in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "its first line does not name: at, profile"),
        ("at,profile,ttft_seconds\n", "its first line does not name: tpot_seconds, e2e_seconds, requests_running"),
        (f"{HEADER}\n", "it holds no probes"),
        (f"{HEADER}\n1,{ROW}\nsoon,{ROW}\n", "line 3: at is 'soon', which is no number"),
        (f"{HEADER}\n1,{ROW}\n,{ROW}\n", "line 3: at is empty"),
        (f"{HEADER}\n1,short,0.05,fast,0.2,0,0\n", "line 2: tpot_seconds is 'fast', which is no number"),
        (f"{HEADER}\n1,short,0.05,nan,0.2,0,0\n", "line 2: tpot_seconds is 'nan', but must be finite"),
        (f"{HEADER}\n1,short,-1,0.1,0.2,0,0\n", "line 2: ttft_seconds is '-1', but must be finite and not below 0"),
        (f"{HEADER}\n1,short,0,0.1,0.2,0,0\n", "line 2: ttft_seconds is 0: leave the cell empty"),
        (f"{HEADER}\n1,,0.1,0.1,0.2,0,0\n", "line 2: profile is empty"),
        (f"{HEADER}\n1790000000000,{ROW}\n", "but must be in seconds since 1970, not milliseconds"),
        (f"{HEADER}\n9,{ROW}\n8,{ROW}\n", "line 3: at goes back, from 9 to 8: sort the rows by time"),
        (f"{HEADER}\n1,{'x' * 200_000}\n", "line 2: field larger than field limit"),
        (f"{HEADER}\n1,{ROW}\n7201,{ROW}\n", "none of its probes, which span 2 h, is left after the baseline"),
    ],
)
def test_bad_files(cli: Cli, text: str, words: str) -> None:
    """A file that cannot answer is refused in one line that says where and why."""
    (cli.folder / "bad.csv").write_text(text)

    line = cli.refused("backtest", "bad.csv")

    assert line.startswith("bad.csv: ")
    assert words in line


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        (("no.csv",), "no.csv: No such file or directory; give a CSV file with the columns at, profile, ttft_seconds"),
        ((), "give either a FILE or --last."),
        (("month.csv", "--last", "1d"), "give either a FILE or --last."),
        (("month.csv", "--csv", "out.csv"), "--csv writes stored probes: it needs --last."),
        (("month.csv", "--baseline-until", str(AT + 600.0)), "10 comparable probes before 1790000600 are too few"),
        (("month.csv", "--baseline-until", str(AT + 60.0 * END - 150.0)), "2 comparable probes after the baseline"),
        (("month.csv", "--baseline-until", "inf"), "is left after the baseline"),
        (("month.csv", "--baseline-until", "nan"), "0 comparable probes before nan are too few"),
        (("--last", "30d"), "no baseline of http://localhost:9 is active: capture one, or give --baseline-until"),
        (("--last", "30d", "--baseline-until", "5"), "the stored probes: it holds no probes"),
        (("--last", "30d", "--csv", "no/out.csv"), "no/out.csv: No such file or directory; choose another file"),
    ],
)
def test_bad_questions(cli: Cli, rest: tuple[str, ...], words: str) -> None:
    """A question that cannot be answered is refused in one line that says what to give."""
    written(cli, recorded(1.0))

    assert words in cli.refused("backtest", *rest)


def test_no_text_is_no_series(cli: Cli) -> None:
    """Bytes that are no text are refused."""
    (cli.folder / "bad.csv").write_bytes(HEADER.encode() + b"\n1,\xff\xfe\n")

    assert "bad.csv: not a text file" == cli.refused("backtest", "bad.csv")


def test_empty_cells_are_absent_values() -> None:
    """What was not measured is not known; a row without latencies only tells what happened; other columns may be."""
    found = rows.read([f"{HEADER},event,note", "1,short,0.05,,,,,,x", "2,,,,,,,image 0.33,", "3,short,,0.01,0.2,2,1,,"])

    assert [(0.05, None, None, None), (None, 0.01, 0.2, Load(2.0, 1.0))] == [
        (one.ttft, one.tpot, one.e2e, one.before) for one in found.probes
    ]
    assert (Event("annotation", 2.0, 2.0, "image 0.33"),) == found.events


PROBES = st.builds(
    Probe,
    at=st.just(0.0),
    profile=st.sampled_from(["short", "my,own\nprofile"]),
    version=st.sampled_from(["1", "2"]),
    outcome=st.just("ok"),
    ttft=st.floats(1e-6, 1e3),
    tpot=st.none() | st.floats(1e-6, 1e3),
    itls=st.just(()) | st.tuples(st.floats(1e-6, 1e3)),
    before=st.none() | st.builds(Load, st.just(3.0), st.just(0.0), st.none() | st.floats(0, 1)),
    cold_ttft=st.none() | st.floats(1e-6, 1e3),
    started=st.none() | st.floats(0, 4e9),
)


@given(st.lists(PROBES, max_size=4))
def test_what_is_written_is_read(probes: list[Probe]) -> None:
    """Everything that judging needs of a probe comes back from the file."""
    kept = tuple(replace(one, at=60.0 * index, after=one.before) for index, one in enumerate(probes))

    assert kept == rows.read(StringIO(rows.write(kept))).probes


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a file holds, it is a series or it is refused."""
    try:
        found = rows.read(StringIO(f"{HEADER},event\n{text}"))
    except FileError:
        return
    assert all(one.at <= other.at for one, other in pairwise(found.probes))


def stored(cli: Cli, probes: list[Probe], *spoiled: Probe) -> None:
    """Put probes into the store, and that an image was changed just before the slow ones."""
    with closing(Store(cli.store_url)) as store:
        store.history.remember("tiny", [*probes, *spoiled], ())
        store.history.note(ENDPOINT, "annotation", probes[STEP - 5].at, "image 0.33")


def test_the_store_and_its_file_say_the_same(cli: Cli) -> None:
    """What is found in the stored probes is found in the file that is written of them, and against a captured one."""
    start = time.time() - 60.0 * END - 60.0
    probes = recorded(1.4, start, "tiny")
    until = start + 60.0 * DAY - 1.0
    stored(cli, probes, replace(probes[-1], lag=9.0, ttft=9.0), replace(probes[-1], outcome="timeout", ttft=None))
    cli.keep(Baseline("good", Context("tiny", ENDPOINT), until, series(probes[:DAY])))

    captured = cli.json("backtest", "--last", "30d", "--csv", "out.csv")
    mine = cli.json("backtest", "--last", "30d", "--baseline-until", str(until))
    file = cli.json("backtest", "out.csv", "--baseline-until", str(until))

    said = [[{**one, "near": []} for one in document["findings"]] for document in (captured, mine, file)]
    assert said[0]
    assert [said[0]] * 3 == said
    assert {"annotation: image 0.33"} == {near["what"] for one in captured["findings"] for near in one["near"]}
    assert ["good", "tiny", "out"] == [document["baseline"]["name"] for document in (captured, mine, file)]
    with (cli.folder / "out.csv").open(newline="") as lines:
        assert END == len(list(csv.DictReader(lines)))


def test_probes_of_another_model_are_no_evidence(cli: Cli) -> None:
    """Stored probes that another model answered are not judged."""
    start = time.time() - 60.0 * END - 60.0
    stored(cli, recorded(1.0, start, "other"))
    good = recorded(1.0, start, "tiny")
    cli.keep(Baseline("good", Context("tiny", ENDPOINT), start, series(good)))

    assert "0 comparable probes after the baseline 'good' are too few" in cli.refused("backtest", "--last", "30d")
