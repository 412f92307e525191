"""Other tools' results: what is taken over, what is converted, what is refused, and that nothing else comes through."""

import json
from pathlib import Path
from statistics import fmean, median
from typing import Any

import compressa
import pytest
from compressa import Experiment
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.importers import own
from monitor.importers.reading import FileError
from monitor.importers.registry import OTHERS, detect, read
from monitor.model import Baseline

CAPTURES = Path(__file__).parent / "captures" / "importers"
FILES = sorted(path for path in CAPTURES.iterdir() if path.suffix in {".json", ".sqlite"})
DETAILED = CAPTURES / "vllm-bench_0.32.0_completions_3-failed.json"
ROLE_FIRST = CAPTURES / "vllm-bench_0.32.0_chat_role-first.json"
GUIDELLM = CAPTURES / "guidellm_0.8.1_requests.json"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def imported(data: bytes | Path | object, model: str | None = None) -> list[Baseline]:
    """Import a file, bytes, or a document."""
    if isinstance(data, Path):
        data = data.read_bytes()
    return read(data if isinstance(data, bytes) else json.dumps(data).encode(), None, None, "run", model)


def one(data: bytes | Path | object, model: str | None = None) -> Baseline:
    """Import what makes one baseline."""
    (made,) = imported(data, model)
    return made


def refusal(data: bytes | Path | object, kind: str | None = None) -> str:
    """Give why something is refused, in one line."""
    with pytest.raises(FileError) as caught:
        read(data if isinstance(data, bytes) else json.dumps(data).encode(), kind, None, "run", None)
    text = str(caught.value)
    assert 1 == len(text.splitlines())
    return text


def values(made: Baseline, metric: str) -> tuple[float, ...]:
    """Give the values of the first series of a metric; none if there is none."""
    return next((series.values for series in made.series if series.metric == metric), ())


def facts(made: Baseline) -> dict[str, str | None]:
    """Give a baseline's facts."""
    return {fact.name: fact.value for fact in made.facts}


def document(path: Path, **changes: Any) -> dict[str, Any]:
    """Give a capture's content with some of its fields changed; Ellipsis leaves one out."""
    made = {**json.loads(path.read_text()), **changes}
    return {key: value for key, value in made.items() if value is not ...}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_real_files(path: Path) -> None:
    """What each tool wrote is imported, each metric under its own definition, and what was refused says why."""
    lines = []
    for made in imported(path):
        lines.append(f"{made.name}: {made.context.model} at {made.context.endpoint}, {made.captured_at:.0f}")
        lines += [
            f"  {series.metric:18} {series.stratum}: n {len(series.values)}, median {median(series.values):.6g}, "
            f"span {series.times[-1] - series.times[0]:.3f} s"
            for series in made.series
        ]
        lines += [f"  {fact.name} = {fact.value} ({fact.path}) {fact.why}".rstrip() for fact in made.facts]
    compare(path.with_suffix(".golden"), "\n".join(lines) + "\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_figure_says_what_it_is(path: Path) -> None:
    """The tool is stored, and of each metric its definition; only what was not measured has none, and says why."""
    for made in imported(path):
        told = facts(made)
        assert told[catalog.IMPORTED_FROM]
        assert all(told[catalog.IMPORTED[series.metric]] for series in made.series)
        assert all(fact.why for fact in made.facts if fact.value is None)
        assert made == own.read(own.write(made))


def test_vllm_bench_agrees_with_itself() -> None:
    """Medians of what is imported are those that the tool reports, failed requests left out."""
    made, said = one(DETAILED), document(DETAILED)

    assert (24, 21, 3) == (len(said["ttfts"]), said["completed"], said["failed"])
    assert 21 == len(values(made, "ttft"))
    for metric, field in (("ttft", "median_ttft_ms"), ("tpot", "median_tpot_ms")):
        assert pytest.approx(said[field] / 1e3, rel=1e-9) == median(values(made, metric))
    e2e = [latency for latency in said["latencies"] if latency > 0]
    assert pytest.approx(median(e2e), rel=1e-9) == median(values(made, "e2e"))
    assert (said["output_throughput"],) == values(made, "output_throughput")
    assert (said["total_input_tokens"] / said["duration"],) == values(made, "input_throughput")


def test_vllm_bench_times() -> None:
    """Requests are in the order in which they were sent, and the last ended when the file was written."""
    made, said = one(DETAILED), document(DETAILED)
    (ttft,) = (series for series in made.series if series.metric == "ttft")

    assert sorted(ttft.times) == list(ttft.times)
    assert pytest.approx(said["duration"]) == made.captured_at - ttft.times[0]
    assert made.captured_at == one({**said, "start_times": []}).captured_at
    (spread,) = (series for series in one(document(DETAILED, start_times=...)).series if series.metric == "ttft")
    assert pytest.approx(made.captured_at - said["duration"]) == spread.times[0]
    assert spread.times[-1] < made.captured_at


def test_a_chunk_that_names_the_role_is_no_token() -> None:
    """Where a chat has one more chunk than tokens, TTFT goes on to the second, and TPOT begins there."""
    made, said = one(ROLE_FIRST), document(ROLE_FIRST)

    corrected = [ttft + gaps[0] for ttft, gaps in zip(said["ttfts"], said["itls"], strict=True)]
    assert pytest.approx(median(corrected)) == median(values(made, "ttft"))
    assert median(values(made, "ttft")) > 3 * said["median_ttft_ms"] / 1e3
    tpots = [sum(gaps[1:]) / 11 for gaps in said["itls"]]
    assert pytest.approx(median(tpots)) == median(values(made, "tpot"))
    assert pytest.approx(median(said["latencies"])) == median(values(made, "e2e"))


def test_a_chat_whose_first_chunk_is_a_token() -> None:
    """Where a chat has as many chunks as tokens, as since vLLM 0.33, nothing is corrected."""
    said = document(DETAILED)

    assert values(one(said), "ttft") == values(one({**said, "backend": "openai-chat"}), "ttft")


@pytest.mark.parametrize("gaps", [9, 13, 30])
def test_a_chat_that_does_not_tell_which_chunk_was_first(gaps: int) -> None:
    """Where chunks are fewer than tokens, or more than one too many, TTFT and TPOT are refused; E2E is known."""
    said = document(ROLE_FIRST)
    made = one({**said, "itls": [[0.005] * gaps for _ in said["itls"]]})

    assert ((), (), ()) == tuple(values(made, metric) for metric in ("ttft", "tpot", "itl_max"))
    assert 24 == len(values(made, "e2e"))
    assert facts(made)[catalog.IMPORTED["ttft"]] is None


def test_one_token_has_no_tpot() -> None:
    """An answer of one token has a TTFT, and neither a TPOT nor a gap."""
    said = document(DETAILED)
    alone = one({**said, "output_lens": [1] * 24, "itls": [[]] * 24})

    assert (21, 0, 0) == tuple(len(values(alone, metric)) for metric in ("ttft", "tpot", "itl_max"))


def test_a_summary_is_one_value() -> None:
    """Of a summary there is one value per figure, its median; what it lacks is told with what to add."""
    (path,) = (path for path in FILES if "completions_summaries" in path.stem)
    first = json.loads(path.read_text().splitlines()[0])
    made = one(first)

    assert (first["median_ttft_ms"] / 1e3,) == values(made, "ttft")
    assert (first["median_tpot_ms"] / 1e3,) == values(made, "tpot")
    assert tuple(first["latencies"]) == values(made, "e2e")
    older = one({**first, "latencies": []})
    assert (first["median_e2el_ms"] / 1e3,) == values(older, "e2e")
    oldest = one({key: value for key, value in first.items() if key not in {"latencies", "median_e2el_ms"}})
    (missing,) = (fact for fact in oldest.facts if fact.name == catalog.IMPORTED["e2e"])
    assert (None, "the file has no latencies or median_e2el_ms") == (missing.value, missing.why)


def test_rates_are_part_of_the_load() -> None:
    """How requests were sent is in the stratum, so that other loads are not compared."""
    said = document(DETAILED, request_rate="inf", max_concurrency=16)

    assert {"vllm-bench@openai in 21 out 12 rate inf concurrency 16"} == {each.stratum for each in one(said).series}


def test_guidellm_tpot_leaves_the_first_token_out() -> None:
    """Our TPOT is what GuideLLM's becomes without the first token; E2E ends with the last token, not the stream."""
    made, said = one(GUIDELLM), document(GUIDELLM)
    requests = said["benchmarks"][0]["requests"]["successful"]

    n, theirs = 12, [each["time_per_output_token_ms"] for each in requests]
    mapped = [
        (tpot * n - each["time_to_first_token_ms"]) / (n - 1) for tpot, each in zip(theirs, requests, strict=True)
    ]
    assert [n] * 6 == [each["output_tokens"] for each in requests]
    assert pytest.approx([tpot / 1e3 for tpot in mapped], rel=1e-4) == list(values(made, "tpot"))
    assert min(theirs) / 1e3 > 1.2 * max(values(made, "tpot"))
    timings = [each["info"]["timings"] for each in requests]
    ends = [each["last_token_iteration"] - each["request_start"] for each in timings]
    assert pytest.approx(ends, abs=1e-5) == list(values(made, "e2e"))


def test_guidellm_without_requests() -> None:
    """A report without its requests gives one TTFT per load; the others, which it weighs by tokens, are refused."""
    said = document(GUIDELLM)
    for benchmark in said["benchmarks"]:
        benchmark["requests"] = {"successful": []}
    made = one(said)

    assert 1 == len(values(made, "ttft"))
    assert ((), ()) == (values(made, "tpot"), values(made, "e2e"))
    (tpot,) = (fact for fact in made.facts if fact.name == catalog.IMPORTED["tpot"])
    assert tpot.value is None
    assert tpot.why.startswith("the report was saved without requests")


def test_guidellm_that_did_not_stream() -> None:
    """Requests that were not streamed have no latencies that we could name; throughput is known."""
    said = document(GUIDELLM)
    for benchmark in said["benchmarks"]:
        for request in benchmark["requests"]["successful"]:
            request |= {"time_to_first_token_ms": None, "inter_token_latency_ms": None}
    made = one(said)

    assert {"request_throughput", "input_throughput", "output_throughput"} == {each.metric for each in made.series}
    assert facts(made)[catalog.IMPORTED["ttft"]] is None


@pytest.mark.parametrize(
    ("tokens", "itl", "e2e"), [(1, None, 0.03), (1, 0.0, 0.03), (3, 10.0, 0.05), (3, None, None), (None, 10.0, None)]
)
def test_guidellm_e2e(tokens: int | None, itl: float | None, e2e: float | None) -> None:
    """E2E is TTFT and a TPOT for each further token; it is not known where one of them is not."""
    said = document(GUIDELLM)
    request = said["benchmarks"][0]["requests"]["successful"][0]
    request |= {"output_tokens": tokens, "inter_token_latency_ms": itl, "time_to_first_token_ms": 30.0}
    said["benchmarks"] = said["benchmarks"][:1]
    said["benchmarks"][0]["requests"]["successful"] = [request]

    assert ([] if e2e is None else [pytest.approx(e2e)]) == list(values(one(said), "e2e"))


def test_no_credentials_are_kept() -> None:
    """An address with a password in it, and a key, leave no trace."""
    said = document(GUIDELLM)
    for benchmark in said["benchmarks"]:
        benchmark["config"]["backend"] |= {"target": "http://me:hunter2@node:8000", "api_key": "hunter2"}
    made = one(said)

    assert "unknown" == made.context.endpoint
    assert "hunter2" not in own.write(made)


def test_compressa_agrees_with_itself() -> None:
    """Means of what is imported are the averages that compressa-perf made of them, and so are its throughputs."""
    made = one(CAPTURES / "compressa-perf_0.2.8.sqlite")

    assert pytest.approx(0.07159464557965596) == fmean(values(made, "ttft"))
    assert pytest.approx(0.15676299730936685) == fmean(values(made, "e2e_stream"))
    assert [pytest.approx(6.376124558005759)] == list(values(made, "request_throughput"))
    assert [pytest.approx(86.87469710282846)] == list(values(made, "input_throughput"))
    assert [pytest.approx(76.5134946960691)] == list(values(made, "output_throughput"))


def test_compressa_requests_that_failed() -> None:
    """A request that failed has no latency; an experiment without any that succeeded is left out."""
    good, bad = (100, 30, 0.5, 1000.0, 1002.0, "success"), (-1, -1, 0.0, 1001.0, 0.3, "failed")
    made = one(compressa.database(Experiment("mixed", requests=(bad, good, good)), Experiment("lost", requests=(bad,))))

    assert ((0.5, 0.5), (2.0, 2.0)) == (values(made, "ttft"), values(made, "e2e_stream"))
    assert {"compressa@mixed runners 10"} == {series.stratum for series in made.series}


def test_an_experiment_run_again_is_another_baseline() -> None:
    """The same experiment twice in one database is before and after, never one sample; so are two models."""
    request = (100, 30, 0.5, 1000.0, 1002.0, "success")
    a, b = Experiment("a", requests=(request,)), Experiment("b", requests=(request,))
    other = Experiment("a", requests=(request,), parameters={**compressa.TOLD, "model_name": "other"})

    made = imported(compressa.database(a, b, a, other))

    assert [("run", "QwQ-32B"), ("run-2", "QwQ-32B"), ("run-3", "other")] == [
        (each.name, each.context.model) for each in made
    ]
    assert [2, 1, 1] == [len({series.stratum for series in each.series}) for each in made]


def test_averages_and_medians_are_not_compared() -> None:
    """An experiment of which only averages are known is at a stratum of its own."""
    made = one(compressa.database(Experiment("a", {"TTFT": 1.5, "LATENCY": 3})))

    assert ["compressa@a runners 10 mean"] * 2 == [series.stratum for series in made.series]
    assert (1.5,) == values(made, "ttft")


def test_model() -> None:
    """A model that is given counts before the file's; a file without one asks for it."""
    nameless = compressa.database(Experiment("a", {"TTFT": 1.5}, parameters={}))

    assert "mine" == one(DETAILED, "mine").context.model
    assert "mine" == one(nameless, "mine").context.model
    assert "mine" == one(own.write(one(DETAILED)).encode(), "mine").context.model
    assert "does not say which model was measured: add --model" == refusal(nameless)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_formats_are_known(path: Path) -> None:
    """Each format is known by what is in it, ours too."""
    name = path.stem.partition("_")[0].replace("-perf", "")

    assert name == detect(path.read_bytes())
    assert name in OTHERS
    assert "own" == detect(own.write(imported(path)[0]).encode())


def without(path: Path, *keys: str) -> dict[str, Any]:
    """Give a capture's content without something deep in it."""
    made = document(path)
    inner = made
    for key in keys[:-1]:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    del inner[keys[-1]]
    return made


BENCH, GUIDE, COMPRESSA = "not a result of vllm bench serve", "not a report of GuideLLM since 0.4", "not a database of"
NO_TABLE = compressa.SCHEMA.replace("Measurements", "Other")
NO_COLUMN = compressa.SCHEMA.replace("    ttft REAL NOT NULL,\n", "    first REAL NOT NULL,\n")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "not a baseline: neither ours nor one of vllm-bench, guidellm, compressa"),
        (b"[]", "not a baseline: neither ours nor one of vllm-bench, guidellm, compressa"),
        (b"\xff\xfe", "not a text file"),
        (b"{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b"9" * 5000, "not JSON: Exceeds the limit (4300 digits) for integer string conversion"),
        ({"format": "other"}, "not a baseline: \"format\" is not 'vllm-monitor baseline'"),
        (DETAILED.read_bytes()[:-100], "not JSON: Unterminated string starting at: line 1"),
        (document(DETAILED, duration=...), f"{BENCH}: duration: Field required"),
        (document(DETAILED, duration=0), f"{BENCH}: duration: Input should be greater than 0"),
        (document(DETAILED, duration=float("nan")), f"{BENCH}: duration: Input should be a finite number"),
        (document(DETAILED, completed=10**400), f"{BENCH}: completed: Input should be less than or equal"),
        (document(DETAILED, date="yesterday"), f"{BENCH}: date: 'yesterday' is no time"),
        (document(DETAILED, ttfts=["x"] * 9), f"{BENCH}: ttfts.0: Input should be a valid number"),
        (document(DETAILED, ttfts=[0.1]), f"{BENCH}: its lists differ in length"),
        (document(DETAILED, model_id="\ud800"), f"{BENCH}: model_id: Value error, 'utf-8' codec can't encode"),
        (document(DETAILED, completed=0), "holds no figure of vllm bench serve that could be used: no request"),
        ({"benchmarks": []}, f"{GUIDE}: benchmarks: List should have at least 1 item"),
        ({"benchmarks": [7]}, f"{GUIDE}: benchmarks.0: Input should be a valid dictionary"),
        (without(GUIDELLM, "benchmarks", "0", "config"), f"{GUIDE}: benchmarks.0.config: Field required"),
        (b'{"benchmarks": []}{}', "not a report of GuideLLM: 2 documents in one file"),
        (compressa.database(Experiment("a", {"TTFT": 1.0}))[:6000], f"{COMPRESSA} compressa-perf: database disk image"),
        (b"SQLite format 3\0", f"{COMPRESSA} compressa-perf: file is not a database"),
        (compressa.database(schema="CREATE TABLE x (y)"), f"{COMPRESSA} compressa-perf: no such table: Experiments"),
        (compressa.database(Experiment("a"), schema=NO_TABLE), f"{COMPRESSA} compressa-perf: no such table"),
        (compressa.database(Experiment("a"), schema=NO_COLUMN), f"{COMPRESSA} compressa-perf: no such column: ttft"),
        (compressa.database(), "holds no figure of compressa-perf that could be used: no request succeeded"),
        (compressa.database(Experiment("a", {"TTFT": "?"})), f"{COMPRESSA} compressa-perf: averages.TTFT: Input"),
        (compressa.database(Experiment("a", {"TTFT": 1}, date="x")), f"{COMPRESSA} compressa-perf: 'x' is no time"),
        (compressa.database(Experiment("a", {"TTFT": 1}, date=None)), f"{COMPRESSA} compressa-perf: date: Input"),
        (compressa.database(Experiment("a", parameters={"num_workers": "?"})), f"{COMPRESSA} compressa-perf: param"),
    ],
)  # fmt: skip
def test_what_is_no_result(data: bytes | object, told: str) -> None:
    """What cannot be read is refused in one line that says where it is wrong."""
    assert refusal(data).startswith(told)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_format_that_it_is_not(kind: str) -> None:
    """A file that is read as what it is not is refused as that."""
    data = DETAILED.read_bytes() if kind != "vllm-bench" else GUIDELLM.read_bytes()

    assert refusal(data, kind).startswith("not a ")


@given(JSON)
def test_any_document_is_refused(said: object) -> None:
    """Whatever JSON holds by chance is no result of any tool."""
    for kind in (None, *OTHERS):
        assert refusal(said, kind)


@given(st.data(), st.sampled_from([DETAILED, ROLE_FIRST, GUIDELLM]), JSON)
def test_any_damage_is_read_or_refused(data: st.DataObject, path: Path, value: object) -> None:
    """Whatever a field at any depth is replaced by, the result is a baseline that can be kept, or is refused."""
    said = document(path)
    inner: Any = said
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(inner[key], dict | list) or not inner[key] or data.draw(st.booleans()):
            inner[key] = value
            break
        inner = inner[key]
    try:
        found = imported(said)
    except FileError:
        return
    assert found == [own.read(own.write(made)) for made in found]


@given(st.binary(max_size=40), st.integers(0, 24_000))
def test_a_damaged_database_is_read_or_refused(noise: bytes, at: int) -> None:
    """Whatever bytes of a database are replaced by, it is read or refused."""
    whole = bytearray((CAPTURES / "compressa-perf_0.2.8.sqlite").read_bytes())
    whole[at : at + len(noise)] = noise
    try:
        found = imported(bytes(whole))
    except FileError:
        return
    assert found == [own.read(own.write(made)) for made in found]
