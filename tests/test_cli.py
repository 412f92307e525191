"""The commands as people and cron jobs use them, against a simulated server: output, exit codes, and plain errors."""

import json
import re
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from anyio import to_thread
from commands import TUNED, Cli, node
from examples import baseline, finding, probe
from processes import MONITOR, environment
from routes import GOOD, answer, listening

from monitor import catalog
from monitor.alert.message import utc
from monitor.cli.config import metrics_page
from monitor.detect import users
from monitor.importers import own
from monitor.model import Baseline, Context, Event, Fact, Finding, Flip, Load, Probe, Reading, Series, Traffic
from monitor.settings import Canary, Target
from monitor.store.outbox import Outgoing
from monitor.store.store import Store

pytestmark = pytest.mark.alone

KNOBS = {"ttft": 0.05, "tpot": 0.001, "jitter": 0.0}
"""Quick, but slow enough that a busy machine's lag of some milliseconds is not held against the figures."""

DEAD = "http://127.0.0.1:9"
IDLE = Load(0.0, 0.0, 0.0)


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()  # the commands point the log at the stderr of the moment


@pytest.fixture(scope="module")
def simulation() -> Iterator[str]:
    """Serve a simulated vLLM in a process of its own: in ours it would stand in the stopwatch's way."""
    knobs = [f"--set={name}={value}" for name, value in KNOBS.items()]
    command = [str(MONITOR), "simulate", "--listen", "127.0.0.1:0", *knobs]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:  # noqa: S603 - our own program
        assert process.stdout
        yield process.stdout.readline().rpartition(" ")[2].strip()
        process.kill()


@pytest.fixture(scope="module")
def captured(simulation: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Baseline]:
    """Capture a baseline once; give what was printed, and the baseline as it was exported."""
    cli = Cli(tmp_path_factory.mktemp("captured"), simulation)
    printed = cli.json("baseline", "capture", "good-day", "--requests", "20", "--rate", "100")
    return printed, own.read(cli.run("baseline", "export", "good-day").stdout)


@pytest.fixture
def server(simulation: str) -> Iterator[str]:
    yield simulation
    turn(
        simulation,
        slow=1.0,
        status=0,
        metrics_status=0,
        models_status=0,
        garbage=False,
        max_model_len=8192,
        asleep=False,
    )


@pytest.fixture
def cli(tmp_path: Path, server: str) -> Cli:
    return Cli(tmp_path, server)


def turn(server: str, **knobs: float) -> None:
    httpx.post(f"{server}/simulate", json=knobs).raise_for_status()


def judged(document: Any) -> dict[str, str]:
    return {one["metric"]: one["unjudged"] for one in document["targets"][0]["judgements"]}


def test_version(cli: Cli) -> None:
    """The program says which version it is."""
    assert cli.run("--version").stdout.startswith("monitor, version ")


def test_look_json(cli: Cli) -> None:
    """Each collector's snapshot has the contract's shape, and catalogued names only."""
    vllm, process, host = cli.json("look")["snapshots"]

    keys = {"source", "ok", "error", "took_seconds", "readings", "facts"}
    assert ({*keys, "target"}, {*keys, "target"}, keys) == (set(vllm), set(process), set(host))
    assert ("process", "tiny", True, "") == (process["source"], process["target"], process["ok"], process["error"])
    assert ("vllm", "tiny", True, "") == (vllm["source"], vllm["target"], vllm["ok"], vllm["error"])
    assert ("host", True, "") == (host["source"], host["ok"], host["error"])
    for snapshot in (vllm, host):
        assert {("metric", "value", "labels")} == {tuple(one) for one in snapshot["readings"]}
    for snapshot in (vllm, process, host):
        assert {("fact", "value", "labels", "path", "why")} == {tuple(one) for one in snapshot["facts"]}
        assert {one["fact"] for one in snapshot["facts"]} <= set(catalog.FACTS)
    assert {"metric": catalog.VLLM_UP, "value": 1.0, "labels": {}} == vllm["readings"][0]
    assert {"vllm.version": "0.32.0", "vllm.model": "tiny"} == {
        one["fact"]: one["value"] for one in vllm["facts"] if one["fact"] in {"vllm.version", "vllm.model"}
    }


def test_look_in_words(cli: Cli) -> None:
    """Without --json a look is told in lines: readings with their labels, facts with where they come from."""
    lines = cli.run("look", "--only", "vllm").stdout.splitlines()

    assert lines[0].startswith("vllm tiny: ")
    assert "  vllm_monitor_vllm_up 1" in lines
    assert '  vllm_monitor_vllm_requests_running{engine="0"} 0' in lines
    assert "  vllm.model = tiny  (/v1/models)" in lines


def test_look_at_the_host_needs_no_server(cli: Cli, tmp_path: Path) -> None:
    """Looking at the host works wherever its files are, and says what cannot be read."""
    env = {"MONITOR_HOST__PROCFS": f"{tmp_path}/proc", "MONITOR_HOST__SYSFS": f"{tmp_path}/sys"}
    lines = cli.run("look", "--only", "host", "--target", DEAD, env=env).stdout.splitlines()

    assert lines[0].startswith("host: 0 readings, ")
    assert any(line.startswith("  vm.swappiness = unreadable: ") for line in lines)


def test_look_at_a_dead_server(cli: Cli) -> None:
    """A server that is not there is told in one line, and is a finding."""
    title, error = cli.run("look", "--only", "vllm", "--target", DEAD, code=1).stdout.splitlines()

    assert title.startswith("vllm 127.0.0.1:9: failed after ")
    assert f"  {DEAD} does not answer: connection refused; does vLLM listen there?" == error

    snapshots = cli.json("look", "--only", "vllm", "--target", DEAD, code=1)["snapshots"]
    assert [(False, [], [])] == [(one["ok"], one["readings"], one["facts"]) for one in snapshots]


def test_canary_json(cli: Cli) -> None:
    """Each canary is printed with the contract's keys, its latencies in seconds."""
    document = cli.json("canary", "--requests", "2")

    first, second = document["probes"]
    wanted = {"profile", "outcome", "ttft_seconds", "tpot_seconds", "e2e_seconds", "output_tokens", "lag_seconds"}
    assert wanted <= set(first)
    assert ("short", "ok", 16) == (second["profile"], second["outcome"], second["output_tokens"])
    assert 0.05 <= second["ttft_seconds"] < second["e2e_seconds"] < 5
    assert (16, "length", False) == (second["chunks"], second["finish_reason"], second["tokens_estimated"])
    assert (None, None) == (second["cold_ttft_seconds"], second["warm_ratio"])
    assert (first["answer"], True, "") == (second["answer"], second["answer_comparable"], second["answer_fault"])
    spent = second["load_after"]["tokens"] - second["load_before"]["tokens"]
    assert spent == second["prompt_tokens"] + second["output_tokens"]
    assert second["load_before"]["steps"] < second["load_after"]["steps"]


def test_canary_of_the_warm_profile(cli: Cli) -> None:
    """A long prompt is sent twice: the first time nobody has seen it, the second time it is begun sooner."""
    probes = cli.json("canary", "--requests", "3", "--profile", "warm")["probes"]

    for one in probes:
        assert ("warm", "ok", 2) == (one["profile"], one["outcome"], one["output_tokens"])
        assert 0.05 <= one["cold_ttft_seconds"]
        assert one["warm_ratio"] == one["ttft_seconds"] / one["cold_ttft_seconds"]
    assert min(one["warm_ratio"] for one in probes) < 0.9
    assert ", warm / cold " in cli.run("canary", "--requests", "1", "--profile", "warm").stdout


def test_canary_of_the_stall_profile(cli: Cli) -> None:
    """A stream is listened to while two long prompts are read: its longest gap is told, and what all of it cost."""
    (one,) = cli.json("canary", "--requests", "1", "--profile", "stall")["probes"]

    assert ("stall", "ok", 64 + 2) == (one["profile"], one["outcome"], one["output_tokens"])
    assert one["itl_max_seconds"] >= one["tpot_seconds"] > 0
    assert one["prompt_tokens"] > 1000


def test_canary_of_a_profile_of_the_operators_own(cli: Cli) -> None:
    """A profile of the settings is asked for by its name: its words, its length, its endpoint."""
    (cli.folder / "monitor.toml").write_text(
        '[canary.profile.haiku]\nprompt = "Write a haiku."\noutput_tokens = 5\nendpoint = "completions"\n'
    )
    (one,) = cli.json("canary", "--requests", "1", "--profile", "haiku")["probes"]

    # Before the words of the prompt the simulated model puts one token, as models do at the begin of a text.
    assert ("haiku", "ok", 5, 5) == (one["profile"], one["outcome"], one["prompt_tokens"], one["output_tokens"])
    assert re.fullmatch("[0-9a-f]{8}", one["version"])


def test_canary_of_an_unknown_profile(cli: Cli) -> None:
    """A profile that is not there is told with those that are, the operator's own included."""
    (cli.folder / "monitor.toml").write_text('[canary.profile.haiku]\nprompt = "Write a haiku."\n')
    text = cli.refused("canary", "--profile", "shrot")

    assert "--profile shrot: there are short, warm, long, stall, completions, haiku" == text


def test_canary_that_is_answered_garbage(cli: Cli) -> None:
    """An answer that is no language is told as what it is; the probe succeeded all the same."""
    turn(cli.url, garbage=True)
    (one,) = cli.json("canary", "--requests", "1")["probes"]

    assert ("ok", "one token repeated") == (one["outcome"], one["answer_fault"])
    assert "answer: one token repeated" in cli.run("canary", "--requests", "1").stdout


def test_canary_in_words(cli: Cli) -> None:
    """Without --json there is a line per canary, and the table that users of vLLM's benchmark know."""
    lines = cli.run("canary", "--requests", "2").stdout.splitlines()

    assert ["outcome", "TTFT", "ms"] == lines[0].split()[:3]
    assert [("ok", "warm-up")] * 2 == [(words[0], words[-1]) for words in map(str.split, lines[1:3])]
    assert ["Successful", "requests", "2"] in [line.split() for line in lines]
    assert {"Mean TTFT (ms)", "Median TPOT (ms)", "P99 ITL (ms)"} <= {
        line.rpartition(")")[0].strip() + ")" for line in lines
    }


def test_failing_canaries(cli: Cli) -> None:
    """Canaries that fail are printed with why, and are a finding."""
    turn(cli.url, status=500)
    document = cli.json("canary", "--requests", "1", code=1)

    (failed,) = document["probes"]
    assert ("rejected", None, None) == (failed["outcome"], failed["ttft_seconds"], failed["tpot_seconds"])
    assert failed["detail"].startswith("HTTP 500")

    assert "rejected" in cli.run("canary", "--requests", "1", code=1).stdout


def test_errors_are_printed_as_they_are(cli: Cli) -> None:
    """A server's error is printed letter by letter, whatever brackets it has."""
    text = cli.run("canary", "--requests", "1", "--model", "[/INST] [red]", code=1).stdout

    assert "HTTP 404: The model `[/INST] [red]` does not exist." in text


def test_canary_for_a_dead_server(cli: Cli) -> None:
    """Without a server no canary is sent."""
    text = cli.refused("canary", "--target", DEAD, code=1)

    assert f"{DEAD} does not answer: connection refused; does vLLM listen there?" == text


def test_canary_without_a_model(cli: Cli) -> None:
    """When nobody names a model, what to set is told."""
    turn(cli.url, models_status=503)
    text = cli.refused("canary", code=1)
    assert f"{cli.url}/v1/models names no model (HTTP 503); set model to the name of one that it serves" == text

    assert "ok" == cli.json("canary", "--requests", "1", "--model", "tiny")["probes"][0]["outcome"]


@pytest.mark.parametrize("command", [["canary"], ["baseline", "capture"]])
def test_one_target_is_needed(cli: Cli, command: list[str]) -> None:
    """What talks to one server asks which, when there are several."""
    text = cli.refused(*command, "--target", "http://a:8000", "--target", "http://b:8000")

    assert "several targets are configured (a:8000, b:8000): choose one with --target NAME" == text


def test_capture_json(captured: tuple[Any, Baseline]) -> None:
    """A capture prints the baseline, the benchmark table that vLLM users know, and what it can detect."""
    printed, made = captured

    shown = printed["baseline"]
    assert ("good-day", "tiny", made.context.endpoint) == (shown["name"], shown["model"], shown["endpoint"])
    watched = [one for one in shown["series"] if one["stratum"].startswith("short@1 ")]
    assert {"ttft", "tpot"} == {one["metric"] for one in watched}
    assert sum(one["n"] for one in watched) >= 40
    assert all(one["median_seconds"] <= one["p99_seconds"] for one in watched)
    assert "0.32.0" == shown["facts"]["vllm.version"]
    result = printed["benchmark"]
    assert 0 == result["failed"]
    assert 16 * result["completed"] == result["total_output_tokens"]
    assert 50.0 <= result["ttft"]["median"] <= result["ttft"]["p99"]
    assert any(line.startswith("TTFT ") for line in printed["detects"])


def test_capture_shows_the_other_profiles(captured: tuple[Any, Baseline]) -> None:
    """A few probes of the profiles that are not watched are captured too: what caching gives, what long prompts cost,
    and what is answered.
    """
    printed, made = captured

    counts = [(one["profile"], one["completed"], one["failed"], one["detail"]) for one in printed["profiles"]]
    assert [("warm", 3, 0, ""), ("long", 3, 0, ""), ("stall", 3, 0, "")] == counts
    warm, _, stall = printed["profiles"]
    assert warm["warm_ratio"] < 0.9
    assert warm["ttft_seconds"] < warm["cold_ttft_seconds"]
    assert stall["itl_max_seconds"] > 0
    answers = [(one["profile"], one["version"], one["fault"]) for one in printed["baseline"]["answers"]]
    assert {(name, "1", "") for name in ("short", "warm", "long", "stall")} == set(answers)
    assert all(one.words for one in made.answers)


def test_capture_whose_other_profiles_fail(cli: Cli) -> None:
    """What fails beside the watched profile refuses no baseline, and is told with why."""
    turn(cli.url, max_model_len=60)
    document = cli.json("baseline", "capture", "small", "--requests", "20", "--rate", "100")

    assert [("warm", 0, 3), ("long", 0, 3), ("stall", 0, 3)] == [
        (one["profile"], one["completed"], one["failed"]) for one in document["profiles"]
    ]
    assert all("60" in one["detail"] for one in document["profiles"])
    assert ["small"] == cli.names()
    assert {"short"} == {one["profile"] for one in document["baseline"]["answers"]}


def test_capture_of_a_profile_that_is_watched(cli: Cli) -> None:
    """What is watched is captured in full and not once more beside; figures that are no seconds have no such unit."""
    env = {"MONITOR_CANARY__PROFILES": '["warm"]'}
    document = cli.json("baseline", "capture", "warm", "--requests", "20", "--rate", "100", env=env)

    assert ["long", "stall"] == [one["profile"] for one in document["profiles"]]
    ratio, ttft = (one for one in reversed(document["baseline"]["series"]) if one["stratum"].startswith("warm@"))
    assert ("warm_ratio", "ttft") == (ratio["metric"], ttft["metric"])
    assert {"metric", "stratum", "n", "median_ratio", "p99_ratio"} == set(ratio)
    assert 20 <= ratio["n"] == ttft["n"]
    assert any(re.match(r"warm / cold TTFT 0\.\d\d\d \(warm@", line) for line in document["detects"])


def test_capture_with_load(cli: Cli) -> None:
    """Captured at several loads, a baseline knows each."""
    document = cli.json("baseline", "capture", "loads", "--requests", "20", "--rate", "100", "--with-load", "0,4")

    strata = {one["stratum"].partition(" load ")[2] for one in document["baseline"]["series"]}
    assert {"0", "3-8 kv low"} <= strata


@pytest.mark.parametrize("loads", ["", "4,x", "-1", "4,,5", "99999", "٣"])
def test_loads_that_are_none(cli: Cli, loads: str) -> None:
    """What is no list of loads is refused in one line."""
    assert f"Invalid value for '--with-load': {loads!r} is not a list of loads" in cli.refused(
        "baseline", "capture", "--with-load", loads
    )


def test_observing_where_nobody_serves(cli: Cli) -> None:
    """Where no monitor stores probes, observing makes no baseline and says what is missing."""
    assert "0 comparable probes are too few" in cli.refused("baseline", "capture", "--observe", "10ms", code=1)


def test_capture_in_words(cli: Cli) -> None:
    """A capture without a name is named after its time, its table is printed, and it is active at once; a serving
    monitor's canary, which was held meanwhile, is free again.
    """
    lines = cli.run("baseline", "capture", "--requests", "20", "--rate", "100").stdout.splitlines()

    (found,) = cli.json("baseline", "list")["baselines"]
    assert found["active"]
    assert time.strftime("%Y", time.gmtime(found["captured_at"])) == found["name"][:4]
    assert f"Baseline '{found['name']}' of tiny is active. It can detect:" in lines
    assert ["Successful", "requests"] in [line.split()[:2] for line in lines]
    assert "Medians of other profiles" in [line.strip() for line in lines]
    assert [["warm", "3", "0"], ["long", "3", "0"], ["stall", "3", "0"]] == [
        line.split()[:3] for line in lines if line.split()[:1] in [["warm"], ["long"], ["stall"]]
    ]
    store = Store(cli.store_url)
    held = store.history.events(Target(url=cli.url).endpoint, time.time())
    store.close()
    assert not held


def test_capture_from_a_failing_server(cli: Cli) -> None:
    """A sample of failures is refused, and nothing is stored."""
    turn(cli.url, status=500)
    text = cli.refused("baseline", "capture", "bad", "--requests", "20", "--rate", "100", code=1)

    assert re.match(r"no baseline was captured: (\d+) of \1 probes failed \(last: rejected: HTTP 500: ", text)
    assert [] == cli.names()


def test_capture_under_a_taken_name(cli: Cli) -> None:
    """A taken name is refused before the server is so much as asked, and what has it stays."""
    cli.keep(baseline())

    text = cli.refused("baseline", "capture", "good-day", "--target", DEAD)

    assert "baseline 'good-day' exists; choose another name, or drop it first" == text
    assert ["good-day"] == cli.names()


def test_capture_of_an_unknown_model(cli: Cli) -> None:
    """A model that the server does not have makes no baseline."""
    env = {"MONITOR_TARGET__TINY__MODEL": "big"}
    text = cli.refused("baseline", "capture", "bad", "--requests", "20", "--rate", "100", code=1, env=env)

    assert re.match(r"no baseline was captured: (\d+) of \1 probes failed \(last: rejected: HTTP 404: ", text)
    assert [] == cli.names()


def test_capture_from_a_dead_server(cli: Cli) -> None:
    """Without a server there is no baseline."""
    text = cli.refused("baseline", "capture", "bad", "--target", DEAD, code=1)

    assert f"{DEAD} does not answer: connection refused; does vLLM listen there?" == text
    assert [] == cli.names()


def remembered(cli: Cli, count: int, **changes: Any) -> list[Probe]:
    """Store probes as a serving monitor does."""
    now = time.time()
    quiet = {"before": IDLE, "after": IDLE, **changes}
    made = [probe(at=now - 60 - number, **quiet) for number in range(count)]
    store = Store(cli.store_url)
    store.history.remember("tiny", made, ())
    store.close()
    return made


def test_capture_from_history(cli: Cli) -> None:
    """--last freezes what a serving monitor stored, without a canary; what came while warming up is left out."""
    made = remembered(cli, 30)
    remembered(cli, 5, warmup=True)
    document = cli.json("baseline", "capture", "then", "--last", "10m")

    assert 30 == document["benchmark"]["completed"]
    found = own.read(cli.run("baseline", "export", "then").stdout)
    assert Context("tiny", Target(url=cli.url).endpoint) == found.context
    assert tuple(one.at for one in reversed(made)) == found.series[0].times


def test_capture_counts_what_failed(cli: Cli) -> None:
    """A probe that ran out of time is counted as failed, also where the monitor's own loop lagged meanwhile."""
    remembered(cli, 40)
    remembered(cli, 1, outcome="timeout", ttft=None, tpot=None, e2e=None, itls=(), lag=0.5)

    assert 1 == cli.json("baseline", "capture", "json", "--last", "10m")["benchmark"]["failed"]
    lines = cli.run("baseline", "capture", "words", "--last", "10m").stdout.splitlines()
    assert ["Failed requests 1"] == [" ".join(line.split()) for line in lines if "Failed" in line]


def begun(cli: Cli, found: Finding) -> float:
    """Open a finding as a serving monitor does; gives when it began."""
    now = time.time()
    store = Store(cli.store_url)
    store.outbox.settle("tiny", [Flip(found, opened=True, since=now - 900, at=now - 720, tell=True)], (), now)
    store.close()
    return now - 900


def test_capture_of_a_slow_server(cli: Cli) -> None:
    """A capture while a regression is open says what it makes the new normal: on stderr, as JSON in a field."""
    remembered(cli, 30)
    cli.keep(baseline(endpoint=Target(url=cli.url).endpoint))
    began = begun(cli, finding("regression:tiny:short:tpot", evidence={"effect": "short TPOT +80%"}))

    said = f"tiny: short TPOT +80% is open since {utc(began)} against {{!r}}: this baseline makes that the new normal"
    assert f"monitor: {said.format('good-day')}\n" == cli.run("baseline", "capture", "a", "--last", "10m").stderr
    assert [said.format("a")] == cli.json("baseline", "capture", "b", "--last", "10m")["warnings"]


@pytest.mark.parametrize("how", ["--last", "--observe"])
def test_capture_over_a_sick_time(cli: Cli, how: str) -> None:
    """A time in which the server was hung makes no baseline, whether it is past or to come."""
    remembered(cli, 30)
    began = begun(cli, finding("health:tiny:hung", kind="health", subject="hung", summary="tiny: vLLM is hung"))

    assert (
        f"no baseline was captured: the server was not well since {utc(began)}, and is not yet (tiny: vLLM is hung); "
        "wait until it is, and choose a time after that"
    ) == cli.refused("baseline", "capture", "bad", how, "10m", code=1)
    assert [] == cli.names()


@pytest.mark.parametrize(("last", "told"), [("10m", 3), ("30s", 0)])
def test_capture_from_too_little_history(cli: Cli, last: str, told: int) -> None:
    """A history that is too short is refused with what was found, and nothing is stored."""
    remembered(cli, 3)
    text = cli.refused("baseline", "capture", "then", "--last", last, code=1)

    assert text.startswith(f"no baseline was captured: {told} comparable probes are too few")
    assert [] == cli.names()


def test_capture_from_a_bad_duration(cli: Cli) -> None:
    """A duration without unit is an error of usage."""
    result = cli.run("baseline", "capture", "--last", "30", code=2)

    assert "'30' is not a duration: write it like 15s, 2m, 1h or 30d" in result.stderr


def test_list(cli: Cli) -> None:
    """The list has every baseline with its context, and marks the active one."""
    assert {"baselines": []} == cli.json("baseline", "list")
    assert "No baselines yet: monitor baseline capture makes one.\n" == cli.run("baseline", "list").stdout

    cli.keep(baseline("a"))
    cli.keep(baseline("b", captured_at=baseline().captured_at + 1))

    first, second = cli.json("baseline", "list")["baselines"]
    assert {
        "name": "a",
        "context": {"model": "tiny", "endpoint": "http://vllm:8000"},
        "captured_at": baseline().captured_at,
        "active": False,
        "values": 7,
        "context_key": baseline().context.key,
    } == first
    assert ("b", True) == (second["name"], second["active"])
    lines = cli.run("baseline", "list").stdout.splitlines()
    assert [["name"], ["a"], ["active", "b"]] == [line.split()[: 2 if "active" in line else 1] for line in lines]
    assert all(line.split()[-2:] == ["http://vllm:8000", "7"] for line in lines[1:])


def test_names_are_printed_whole_and_as_they_are(cli: Cli) -> None:
    """What is printed into a pipe or file is not cut, folded, or taken for anything but text."""
    name, model, endpoint = "day [/1] :bug: [red]", f"/models/{'long' * 30}", f"http://{'long.' * 20}example:8000"
    cli.keep(replace(baseline(name), context=Context(model, endpoint)))
    cli.keep(replace(baseline("other"), context=Context(model, endpoint)))

    line = cli.run("baseline", "list").stdout.splitlines()[1]
    assert all(part in line for part in (name, model, endpoint))
    assert cli.run("baseline", "show", name).stdout.startswith(f"{name}: {model} at {endpoint}, captured ")
    assert f" {name} " in cli.run("baseline", "compare", name, "other").stdout.splitlines()[0]


def test_show(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """A baseline is shown with each series' size, median and P99, and with what it can detect."""
    printed, made = captured
    cli.keep(made)

    shown = cli.json("baseline", "show", "good-day")
    assert {"baseline": printed["baseline"], "detects": printed["detects"]} == shown

    lines = cli.run("baseline", "show", "good-day").stdout.splitlines()
    assert lines[0].startswith(f"good-day: tiny at {Target(url=cli.url).endpoint}, captured ")
    cells = next(line.split() for line in lines if line.split()[:2] == ["TTFT", "short@1"])
    assert ["ms", "ms"] == cells[-4:-1:2]


def test_show_of_a_ratio(cli: Cli) -> None:
    """A figure that is no time is shown without a unit of time, under a name that says what it is."""
    series = (Series("warm_ratio", "warm@1 load 0", (0.0, 60.0), (0.25, 0.25)),)
    cli.keep(baseline(series=series))

    line = cli.run("baseline", "show", "good-day").stdout.splitlines()[2]
    assert ["warm", "/", "cold", "TTFT", "warm@1", "load", "0", "2", "0.250", "0.250", "1.0"] == line.split()


def test_use_and_drop(cli: Cli) -> None:
    """One baseline is made the active one, one is forgotten."""
    cli.keep(baseline("a"))
    cli.keep(baseline("b"))

    said = cli.run("baseline", "use", "a").stdout
    assert "a is active; a serving monitor takes it up with its next heartbeat\n" == said
    assert "b is gone\n" == cli.run("baseline", "drop", "b").stdout
    assert [("a", True)] == [(one["name"], one["active"]) for one in cli.json("baseline", "list")["baselines"]]


@pytest.mark.parametrize(
    "command", [["show", "x"], ["use", "x"], ["drop", "x"], ["export", "x"], ["compare", "a", "x"]]
)
def test_an_unknown_baseline(cli: Cli, command: list[str]) -> None:
    """A name that is not there is told with those that are."""
    cli.keep(baseline("a"))

    assert "there is no baseline 'x'; known: a" == cli.refused("baseline", *command)


def test_export_and_import(cli: Cli, tmp_path: Path) -> None:
    """What is exported to a file or stdout is imported as the same baseline, under its own name or another."""
    cli.keep(baseline())
    path = tmp_path / "day.json"
    assert "" == cli.run("baseline", "export", "good-day", str(path)).stdout
    assert path.read_text(encoding="utf-8") == cli.run("baseline", "export", "good-day").stdout

    said = cli.run("baseline", "import", str(path), "--name", "again").stdout
    assert "again is active for http://vllm:8000\n" == said
    assert "baseline 'good-day' exists; choose another name, or drop it first" == cli.refused(
        "baseline", "import", str(path)
    )

    cli.run("baseline", "drop", "good-day")
    assert "good-day is active for http://vllm:8000\n" == cli.run("baseline", "import", str(path)).stdout
    assert baseline() == own.read(cli.run("baseline", "export", "good-day").stdout)


def test_export_to_a_place_that_is_none(cli: Cli, tmp_path: Path) -> None:
    """A file that cannot be written is told."""
    cli.keep(baseline())
    path = tmp_path / "none" / "day.json"

    text = cli.refused("baseline", "export", "good-day", str(path))
    assert f"{path}: No such file or directory; choose another file" == text


def test_check_of_a_healthy_server(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """A server that is at least as fast as its baseline passes, and the ratio is told."""
    cli.slower(captured[1], 2.0, "slow-day")
    document = cli.json("check", "--require-baseline", "--requests", "15")

    assert [("tiny", "slow-day", [])] == [
        (one["target"], one["baseline"], one["findings"]) for one in document["targets"]
    ]
    assert {"ttft": "", "tpot": ""} == judged(document)
    assert all(one["ratio"] < 1 for one in document["targets"][0]["judgements"])


def test_check_of_a_slow_server(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """A server that became three times slower than its baseline is found, with what changed shortly before."""
    cli.keep(captured[1])
    store = Store(cli.store_url)
    for version, ago in (("0.31.0", 120.0), ("0.32.0", 60.0)):
        store.history.note_facts("tiny", [Fact(catalog.VERSION, version)], time.time() - ago)
    store.close()
    turn(cli.url, slow=3.0)
    document = cli.json("check", "--requests", "15", code=1)

    findings = document["targets"][0]["findings"]
    assert {("regression", "critical", "short ttft"), ("regression", "critical", "short tpot")} == {
        (one["kind"], one["severity"], one["subject"]) for one in findings
    }
    assert [["vllm.version 0.31.0 → 0.32.0"]] * 2 == [[near["what"] for near in one["near"]] for one in findings]
    text = cli.run("check", "--requests", "15", code=1).stdout
    assert "\n    near it: vllm.version 0.31.0 → 0.32.0 at " in text
    assert re.search(r"\n  incident: tiny: short T.*; probably vllm.version 0.31.0 → 0.32.0 at ", text)


def test_check_of_what_is_open(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """What a serving monitor found began when it says, and what happened then is its cause."""
    cli.keep(captured[1])
    store = Store(cli.store_url)
    began = time.time() - 7200.0
    open_ones = [finding(f"regression:tiny:short:{metric}", onset=began) for metric in ("ttft", "tpot")]
    store.outbox.settle(
        "tiny", [Flip(one, opened=True, since=began, at=began, tell=True) for one in open_ones], (), began
    )
    store.close()
    turn(cli.url, slow=3.0)

    text = cli.run("check", "--requests", "15", code=1).stdout
    assert re.search(rf"\n  incident: tiny: short T.* since {utc(began)}; no cause is known", text)


def test_check_says_what_users_have(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """Beside a slow canary it is said how users' requests stand against the baseline's, as serve stored them."""
    now = time.time()
    good = users.series([Traffic(now - 9e3 + 15.0 * index, 2.0, 0.2, 0.0, {"users_tpot": 0.02}) for index in range(99)])
    cli.keep(replace(captured[1], series=(*captured[1].series, *good)))
    store = Store(cli.store_url)
    slow = {catalog.USERS_RATE: 2.0, catalog.USERS_TTFT: 0.2, catalog.USERS_TPOT: 0.03}
    for ago in range(15, 300, 15):
        store.history.remember("tiny", (), [Reading(metric, value, now - ago) for metric, value in slow.items()])
    store.close()
    turn(cli.url, slow=3.0)

    assert "; users' TPOT +50%, too; " in cli.run("check", "--requests", "15", code=1).stdout


def garbage(made: Baseline) -> Baseline:
    """Give a baseline of a server that was answering garbage on the good day, too, as random weights do."""
    answers = (replace(one, digest="", words=(), fault="one token repeated") for one in made.answers)
    return replace(made, answers=tuple(answers))


def test_check_of_a_server_that_answers_garbage(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """Garbage from a server that answered well when its baseline was captured is a critical finding."""
    cli.slower(captured[1], 2.0, "good-answers")
    turn(cli.url, garbage=True)
    document = cli.json("check", code=1)

    (found,) = document["targets"][0]["findings"]
    assert ("health", "critical", "short answers") == (found["kind"], found["severity"], found["subject"])
    assert "the last 3 answers are garbage (one token repeated)" in found["summary"]


def test_check_of_a_server_that_always_answered_garbage(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """Garbage that the baseline knows is no finding."""
    cli.slower(garbage(captured[1]), 2.0, "random-weights")
    turn(cli.url, garbage=True)

    assert [] == cli.json("check")["targets"][0]["findings"]


def test_check_of_garbage_without_a_baseline(cli: Cli) -> None:
    """Garbage from a server of which nothing better is known only informs."""
    turn(cli.url, garbage=True)

    (found,) = cli.json("check", "--requests", "1")["targets"][0]["findings"]
    assert ("info", "short answers") == (found["severity"], found["subject"])


def test_check_of_other_answers(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """Answers other than the baseline's are told with how much of them is the same, and fail nothing."""
    others = tuple(replace(one, digest="0" * 16, words=(*one.words[:8], *[0] * 8)) for one in captured[1].answers)
    cli.slower(replace(captured[1], answers=others), 2.0, "other-words")

    (found,) = cli.json("check")["targets"][0]["findings"]
    assert ("info", {"words_alike_ratio": 0.5}) == (found["severity"], found["evidence"])


def test_check_without_a_baseline(cli: Cli) -> None:
    """Without a baseline only health is judged, unless a baseline is required."""
    lines = cli.run("check", "--requests", "1").stdout.splitlines()
    assert ["tiny: 0 findings (no baseline)", "  short TTFT: no baseline", "  short TPOT: no baseline"] == lines

    text = cli.refused("check", "--require-baseline")
    assert "tiny: no baseline: capture one with monitor baseline capture" == text


def test_check_of_another_model(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """A baseline of another model says nothing about this one."""
    made = captured[1]
    cli.keep(replace(made, context=Context("big", made.context.endpoint)))
    document = cli.json("check", "--requests", "1")

    assert {"the baseline is of another model"} == set(judged(document).values())


def test_check_of_a_dead_server(cli: Cli) -> None:
    """A server that does not answer is a critical finding."""
    document = cli.json("check", "--target", DEAD, code=1)

    assert [("health", "critical", "unreachable")] == [
        (one["kind"], one["severity"], one["subject"]) for one in document["targets"][0]["findings"]
    ]
    lines = cli.run("check", "--target", DEAD, code=1).stdout.splitlines()
    assert "127.0.0.1:9: 1 findings (no baseline)" == lines[0]
    assert lines[1].startswith(f"  critical: 127.0.0.1:9: vLLM is gone: {DEAD} does not answer")


def test_check_of_failing_canaries(cli: Cli) -> None:
    """A server whose answers fail is a finding, even without a baseline; --fail-on chooses what makes exit 1."""
    turn(cli.url, status=500)
    assert "critical" == cli.json("check", "--requests", "1", code=1)["targets"][0]["findings"][0]["severity"]

    turn(cli.url, status=0, log_stats=False)
    try:
        assert "warning" == cli.json("check", "--requests", "1", code=1)["targets"][0]["findings"][0]["severity"]
        cli.run("check", "--requests", "1", "--fail-on", "critical")
    finally:
        turn(cli.url, log_stats=True)


def test_check_of_other_settings(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """A setting of the node that is not as it was when the baseline was captured is drift, which fails who wants it."""
    cli.slower(captured[1], 2.0, "good-day")
    env = node(cli.folder)
    shutil.copytree(TUNED, cli.folder, dirs_exist_ok=True)
    (cli.folder / "proc/sys/vm/swappiness").write_text("60\n")

    def drifted(*options: str, code: int = 0, **more: str) -> list[str]:
        document = cli.json("check", "--requests", "1", *options, code=code, env={**env, **more})
        summaries = [one["summary"] for one in document["targets"][0]["findings"]]
        return [one for one in summaries if one.endswith("since the baseline")]

    assert ["tiny: vm.swappiness 0 → 60 since the baseline"] == drifted("--fail-on", "info", code=1)
    assert [] == drifted(MONITOR_TARGET__TINY__LOCAL="no")


def test_check_of_a_log(cli: Cli, captured: tuple[Any, Baseline]) -> None:
    """What only the server's log tells of its settings is compared, too."""
    log = cli.folder / "vllm.log"
    arguments = Fact(catalog.LOG_ARGUMENTS, "block_size=16", str(log))
    cli.slower(replace(captured[1], facts=(*captured[1].facts, arguments)), 2.0, "good-day")
    log.write_text("INFO 11-21 09:00:00 [utils.py:253] non-default args: {'block_size': 32}\n")
    env = {"MONITOR_TARGET__TINY__LOG_FILE": str(log)}

    findings = cli.json("check", "--requests", "1", "--fail-on", "info", code=1, env=env)["targets"][0]["findings"]

    assert [catalog.LOG_ARGUMENTS] == [one["subject"] for one in findings]


async def test_check_of_a_node_that_does_not_serve(cli: Cli) -> None:
    """An MLNode in another state than the one that serves is a finding of its own."""
    stopped = answer(b'{"state": "STOPPED"}', kind="application/json")
    async with listening({"/api/v1/state": stopped}) as host:
        env = {"MONITOR_TARGET__TINY__MLNODE_URL": f"http://{host}"}
        document = await to_thread.run_sync(partial(cli.json, "check", "--requests", "1", code=1, env=env))

    (found,) = document["targets"][0]["findings"]
    assert ("mlnode", "warning") == (found["subject"], found["severity"])


def test_check_of_an_engine_that_sleeps(cli: Cli) -> None:
    """A sleeping engine is asked nothing, and that is no finding."""
    turn(cli.url, asleep=True)
    (target,) = cli.json("check", "--requests", "1")["targets"]

    assert [] == target["findings"]


def test_check_of_several_targets(cli: Cli) -> None:
    """Every target is checked, and one that fails is enough for exit 1."""
    document = cli.json("check", "--requests", "1", "--target", cli.url, "--target", DEAD, code=1)

    assert [("tiny", 0), ("127.0.0.1:9", 1)] == [(one["target"], len(one["findings"])) for one in document["targets"]]


async def test_check_of_targets_that_cannot_be_checked(cli: Cli) -> None:
    """Each of them is one line with its name, the others are checked; a mistake of ours outweighs all else."""
    prometheus = {"/metrics": answer(b"up 1\n"), "/version": GOOD["/version"]}
    nameless = {**GOOD, "/v1/models": answer(b'{"data":[]}', kind="application/json")}
    run = partial(cli.run, "check", "--requests", "1", "--json")
    async with listening(prometheus) as other, listening(nameless) as server:
        env = {"MONITOR_TARGET__OTHER__URL": f"http://{other}", "MONITOR_TARGET__NAMELESS__URL": f"http://{server}"}
        theirs = await to_thread.run_sync(partial(run, code=1, env=env))
        env["MONITOR_TARGET__TINY__API_KEY_FILE"] = "/nowhere/key"
        ours = await to_thread.run_sync(partial(run, code=2, env=env))
        alone = await to_thread.run_sync(partial(cli.refused, "check", "--target", f"http://{other}"))

    another = f"http://{other} answers, but is no vLLM (no vLLM metrics, /v1/models: HTTP 404); correct the url"
    unnamed = f"http://{server}/v1/models names no model (not told); set model to the name of one that it serves"
    lines = [f"monitor: nameless: {unnamed}", f"monitor: other: {another}"]
    assert lines == sorted(theirs.stderr.splitlines())
    assert ["tiny"] == [one["target"] for one in json.loads(theirs.stdout)["targets"]]
    *same, key = sorted(ours.stderr.splitlines())
    assert lines == same
    assert key.startswith("monitor: tiny: api_key_file /nowhere/key: ")
    document = json.loads(ours.stdout)
    assert ([], 3) == (document["targets"], len(document["unchecked"]))
    assert f"{other}: {another}" == alone


def told(cli: Cli, url: str = "http://elsewhere:8000") -> list[Event]:
    """Give what the store holds of a target, by default of one that nobody named."""
    store = Store(cli.store_url)
    events = store.history.events(Target(url=url).endpoint, 0.0)
    store.close()
    return list(events)


def test_annotate(cli: Cli) -> None:
    """What an operator tells is stored at its moment as one line, for every target."""
    began = time.time()
    said = cli.run("annotate", "image 0.33\n rolled  out").stdout

    (event,) = told(cli)
    assert ("annotation", event.at, "image 0.33 rolled out") == (event.kind, event.until, event.text)
    assert began <= event.at <= time.time()
    assert f"noted at {utc(event.at)}: image 0.33 rolled out\n" == said


def test_annotate_one_target(cli: Cli) -> None:
    """What concerns one target is told of no other."""
    cli.run("annotate", "x" * 200, "--target", DEAD)

    assert ["x" * 200] == [event.text for event in told(cli, DEAD)]
    assert [] == told(cli)


def test_mute(cli: Cli) -> None:
    """A mute holds for as long as asked, with its reason; muting again moves its end, and --end ends it."""
    said = cli.run("mute", "--for", "1h", "--reason", "driver update").stdout

    (event,) = told(cli)
    assert ("mute", "driver update") == (event.kind, event.text)
    assert 3600.0 == pytest.approx(event.until - event.at)
    assert f"muted until {utc(event.until)}\n" == said

    cli.run("mute", "--for", "2h", "--reason", "still at it")
    (longer,) = told(cli)
    assert (event.at, "still at it") == (longer.at, longer.text)
    assert longer.until > event.until + 3000

    assert "the mute is over\n" == cli.run("mute", "--end").stdout
    assert [True] == [one.until <= time.time() for one in told(cli)]


def test_mute_one_target(cli: Cli) -> None:
    """A mute of one target holds no other; while all are muted, the end of one's own changes nothing and says so."""
    cli.run("mute", "--for", "1h", "--target", DEAD)
    assert [] == told(cli)
    (own,) = told(cli, DEAD)

    cli.run("mute", "--for", "2h")
    said = cli.run("mute", "--end", "--target", DEAD).stdout

    ended, everywhere = told(cli, DEAD)
    assert (own.at, True) == (ended.at, ended.until <= time.time())
    assert f"muted until {utc(everywhere.until)}\n" == said


def test_end_every_mute(cli: Cli) -> None:
    """--end without a target ends the mutes of single ones, too."""
    cli.run("mute", "--for", "1h", "--target", DEAD)
    assert "the mute is over\n" == cli.run("mute", "--end").stdout

    assert [True] == [one.until <= time.time() for one in told(cli, DEAD)]


@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        (["--end"], []),
        (["--end", "--target", "http://qwen:8000"], ["tiny"]),
        (["--for", "3h"], ["tiny", "qwen:8000"]),
        (["--for", "3h", "--target", "http://qwen:8000"], ["qwen:8000"]),
    ],
)
def test_a_mute_moves_what_it_holds_back(cli: Cli, arguments: list[str], waits: list[str]) -> None:
    """Messages that were held back are told when the mute really ends: at once with --end, later if it goes on."""
    store = Store(cli.store_url)
    later = time.time() + 3600
    held = [Outgoing("team", {"target": name}, shadow=False, not_before=later) for name in ("tiny", "qwen:8000")]
    store.outbox.settle("tiny", (), held, time.time())
    cli.run("mute", *arguments)
    moment = time.time() if "--end" in arguments else later + 60
    due = [one.message["target"] for one in store.outbox.due(moment)]
    store.close()

    assert waits == [name for name in ("tiny", "qwen:8000") if name not in due]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["mute"], "mute: say --for DURATION, longer than 0, or --end"),
        (["mute", "--for", "1h", "--end"], "mute: say --for DURATION, longer than 0, or --end"),
        (["mute", "--for", "0s"], "mute: say --for DURATION, longer than 0, or --end"),
        (["mute", "--for", "an hour"], "Invalid value for '--for': 'an hour' is not a duration: write it like 15s, "),
        (["mute", "--for", "1h", "--reason", " "], "--reason: give 1 to 200 printable characters"),
        (["mute", "--for", "1h", "--reason", "x" * 201], "--reason: give 1 to 200 printable characters"),
        (["mute", "--for", "1h", "--reason", "\x1b[31mred"], "--reason: give 1 to 200 printable characters"),
        (["annotate"], "Missing argument 'TEXT'. See monitor annotate --help"),
        (["annotate", ""], "TEXT: give 1 to 200 printable characters"),
        (["annotate", "x" * 201], "TEXT: give 1 to 200 printable characters"),
        (["annotate", "bell\x07"], "TEXT: give 1 to 200 printable characters"),
        (["annotate", "not text \udcff"], "TEXT: give 1 to 200 printable characters"),
    ],
)
def test_what_cannot_be_told(cli: Cli, command: list[str], why: str) -> None:
    """What is no mute or no note is refused in one line, and nothing is stored."""
    assert cli.refused(*command).startswith(why)
    assert [] == told(cli)


@pytest.mark.parametrize("command", ["mute", "annotate"])
def test_help_has_an_example(cli: Cli, command: str) -> None:
    """Whoever asks for help is shown how it is typed."""
    assert f"Example: monitor {command} " in cli.run(command, "--help").stdout


def test_config(cli: Cli) -> None:
    """The effective settings are printed as JSON or as TOML that can be read again, with stars for secrets."""
    env = {
        "MONITOR_TARGET__TINY__API_KEY": "s3cr3t",
        "MONITOR_ALERT__FALSE_PAGES_PER_30_DAYS": "2",
        "MONITOR_CANARY__EXTRA_BODY": '{"tools": [{"type": "function", "a b": [1, true]}]}',
    }
    result = cli.run("config", "--json", env=env)
    lines = cli.run("config", env=env).stdout.splitlines()
    tree = json.loads(result.stdout)

    assert (cli.url, "**********") == (tree["target"]["tiny"]["url"], tree["target"]["tiny"]["api_key"])
    assert "s3cr3t" not in result.stdout + "".join(lines)
    assert tree["canary"].pop("priority") is None
    assert tree == tomllib.loads("\n".join(lines))
    assert ("15s", "0s") == (tree["heartbeat"]["every"], tree["canary"]["idle_after"])
    assert tree["store"]["url"].startswith("sqlite:////")
    assert lines[-2].startswith("# the store is sqlite:////")
    assert lines[-1].startswith(
        "# at most 2 false pages in 30 days, in nine installations of ten: short TTFT, short TPOT may"
    )


def test_config_check(cli: Cli, tmp_path: Path) -> None:
    """Settings that can be used exit 0; all mistakes are told at once, one a line, with exit 2."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[heartbeat]\nevery = "5s"\n')
    bad.write_text('[heartbeat]\nevery = 5\n[canary]\nevry = "5s"\n')

    assert "settings ok\n" == cli.run("config", "check").stdout
    assert "settings ok\n" == cli.run("config", "check", "--config", str(good)).stdout
    for arguments in (["config", "check", "--config", str(bad)], ["config", "--config", str(bad), "check"]):
        lines = cli.run(*arguments, code=2).stderr.splitlines()
        assert [
            f"monitor: {bad}: heartbeat.every: 5 is not a duration: write it with a unit, like 15s, 2m, 1h or 30d",
            f"monitor: {bad}: canary.evry: unknown key; known here: {', '.join(sorted(Canary.model_fields))}",
        ] == lines


def test_settings_file_of_the_working_folder(cli: Cli) -> None:
    """./monitor.toml counts without being named, in the folder where the command runs."""
    (cli.folder / "monitor.toml").write_text('[target.here]\nurl = "http://here:8000"\n')

    targets = cli.json("config")["target"]
    assert {"here": "http://here:8000", "tiny": cli.url} == {name: one["url"] for name, one in targets.items()}


def test_metrics(cli: Cli) -> None:
    """The catalogue is printed as the page that the documents have."""
    assert metrics_page() == cli.run("metrics").stdout


@pytest.mark.parametrize(
    "command",
    [
        ["look"],
        ["canary"],
        ["check"],
        ["config"],
        ["config", "check"],
        ["baseline", "list"],
        ["baseline", "capture"],
        ["mute", "--for", "1h"],
        ["annotate", "deploy"],
        ["accept", "vm.swappiness"],
        ["serve"],
    ],
)
def test_bad_settings_are_told_by_every_command(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    """Every command tells bad settings in one line, with exit 2."""
    path = tmp_path / "bad.toml"
    path.write_text('[heartbeat]\nevry = "5s"\n')

    assert f"{path}: heartbeat.evry: unknown key; known here: every" == cli.refused(*command, "--config", str(path))


@pytest.mark.parametrize("command", [["serve", "--web.listen-address", "127.0.0.1:0"], ["accept", "vm.swappiness"]])
def test_rules_that_cannot_be_read_are_told_at_once(cli: Cli, command: list[str]) -> None:
    """What is wrong with the rules is told in one line, before anything runs."""
    told = cli.refused(*command, env={"MONITOR_TUNING__RULES_DIR": "/nowhere"})

    assert "[tuning] rules_dir: /nowhere is no folder: create it, or correct rules_dir" == told


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["baseline", "list"],
        ["baseline", "capture"],
        ["mute", "--for", "1h"],
        ["mute", "--end"],
        ["annotate", "deploy"],
        ["accept", "vm.swappiness"],
        ["serve"],
    ],
)
def test_an_unusable_store_is_told_by_every_command(cli: Cli, tmp_path: Path, command: list[str]) -> None:
    """Every command that needs the store tells in one line when it cannot be used, with exit 2."""
    (tmp_path / "file").write_text("")
    url = f"sqlite:///{tmp_path}/file/monitor.db"

    assert cli.refused(*command, env={"MONITOR_STORE__URL": url}).startswith(f"store {url} cannot be used: ")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["simulate", "--set", "ttft"], "--set ttft: write it like ttft=0.05"),
        (["simulate", "--set", "warp=9"], "--set: unknown knob 'warp'; known are "),
        (["simulate", "--set", "ttft=fast"], "--set: knob 'ttft': Input should be a valid number, got 'fast'"),
        (["simulate", "--listen", "nowhere"], "--listen nowhere: write it like 127.0.0.1:9877"),
        (["serve", "--web.listen-address", "nowhere"], "--web.listen-address nowhere: write it like 127.0.0.1:9877"),
        (["serve", "--web.listen-address", "127.0.0.1:65536"], "--web.listen-address 127.0.0.1:65536: write it like "),
        (["serve", "--web.listen-address", "203.0.113.1:80"], "--web.listen-address 203.0.113.1:80: Cannot assign "),
    ],
)
def test_bad_arguments_of_the_commands_that_stay(cli: Cli, command: list[str], told: str) -> None:
    """A knob or an address that cannot be is told in one line."""
    assert cli.refused(*command).startswith(told)
