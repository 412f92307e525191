"""`monitor baseline import` and `compare`: other tools' results beside each other, and never judged by."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import compressa
import pytest
from commands import Cli
from examples import ENDPOINT, baseline
from goldens import compare

from monitor import catalog
from monitor.cli.import_ import LARGEST
from monitor.importers import own
from monitor.model import Fact, Series
from monitor.store.store import Store

CAPTURES = Path(__file__).parent / "captures" / "importers"
DOCS = Path(__file__).parents[1] / "docs"
DETAILED = CAPTURES / "vllm-bench_0.32.0_completions_3-failed.json"
SUMMARIES = CAPTURES / "vllm-bench_0.32.0_completions_summaries.json"


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path, "http://127.0.0.1:9")


@pytest.fixture
def gonka(cli: Cli) -> Cli:
    """Import both columns of the benchmark in Gonka's guide."""
    for name, tp in (("tp8-pp1", 8), ("tp4-pp2", 4)):
        path = cli.folder / f"{name}.sqlite"
        path.write_bytes(compressa.gonka(tp))
        cli.run("baseline", "import", str(path))
    return cli


def test_the_guides_conclusion(gonka: Cli) -> None:
    """Of Gonka's table TP 4 PP 2 is better in every figure, and no more is claimed than one figure each allows."""
    rows = gonka.json("baseline", "compare", "tp8-pp1", "tp4-pp2")["rows"]

    assert 8 == len(rows)
    assert {"second"} == {row["better"] for row in rows}
    assert {(1, 1, None, None)} == {
        (row["n_first"], row["n_second"], row["ratio_low"], row["ratio_high"]) for row in rows
    }
    assert all(row["verdict"].startswith("n = 1, not tested: tp4-pp2 is faster by ") for row in rows)
    ttft = [row["ratio"] for row in rows if row["metric"] == "ttft"]
    assert [pytest.approx(4.7595 / 6.2342), pytest.approx(28.6839 / 57.7112)] == ttft
    back = gonka.json("baseline", "compare", "tp4-pp2", "tp8-pp1")["rows"]
    assert {"first"} == {row["better"] for row in back}


def test_the_documents_show_it(gonka: Cli) -> None:
    """What docs/baselines.md shows of this comparison is what is printed."""
    said = gonka.run("baseline", "compare", "tp8-pp1", "tp4-pp2").stdout

    lines = [line.rstrip() for line in said.splitlines()]
    page = (DOCS / "baselines.md").read_text()
    start, end = "$ monitor baseline compare tp8-pp1 tp4-pp2\n", "```\n"
    before, _, rest = page.partition(start)
    compare(DOCS / "baselines.md", before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2])


def test_what_is_imported_is_never_judged_by(cli: Cli) -> None:
    """What another tool measured, samples or not, is not active: nor at first, nor later, nor by its own file again."""
    cli.keep(baseline("captured"))
    for path in (DETAILED, SUMMARIES):
        assert "as vllm bench serve measured it" in cli.run("baseline", "import", str(path), "--name", path.stem).stdout

    names = [(one["name"], one["active"]) for one in cli.json("baseline", "list")["baselines"]]
    assert {("captured", True), (DETAILED.stem, False), (SUMMARIES.stem, False)} == set(names)
    told = f"{DETAILED.stem} is what vllm bench serve measured, for comparing: to judge by, capture one"
    assert told == cli.refused("baseline", "use", DETAILED.stem)
    again = cli.folder / "again.json"
    cli.run("baseline", "export", DETAILED.stem, str(again))
    cli.run("baseline", "import", str(again), "--name", "again")
    store = Store(cli.store_url)
    assert (None, "captured") == (store.baselines.active("unknown"), store.baselines.active_key(ENDPOINT)[0])  # type: ignore[index]
    store.close()


def test_an_imported_baseline_is_shown(cli: Cli) -> None:
    """It is shown as what it is, throughput in its own unit, and detects nothing."""
    cli.run("baseline", "import", str(DETAILED), "--name", "bench")

    shown = cli.json("baseline", "show", "bench")
    assert [] == shown["detects"]
    (rate,) = (one for one in shown["baseline"]["series"] if one["metric"] == "output_throughput")
    assert (1, 80.99801279762632) == (rate["n"], rate["median_per_second"])
    assert "vllm bench serve" == shown["baseline"]["facts"][catalog.IMPORTED_FROM]
    lines = cli.run("baseline", "show", "bench").stdout.splitlines()
    (line,) = (line for line in lines if "output tokens per second" in line)
    assert ["1", "80.998", "80.998", "0.0"] == line.split()[-4:]


def test_what_could_not_be_mapped_is_said(cli: Cli) -> None:
    """Importing tells each metric that is left out, and why."""
    path = CAPTURES / "vllm-bench_0.32.0_chat_summary.json"

    lines = cli.run("baseline", "import", str(path), "--name", "chat", "--model", "mine").stdout.splitlines()

    assert "chat: mine as vllm bench serve measured it, for monitor baseline compare" == lines[0]
    assert ["without TTFT:", "without TPOT:", "without ITL max:"] == [
        f"{line.split(':')[0].strip()}:" for line in lines[1:]
    ]


def test_names(cli: Cli) -> None:
    """A baseline is called as the file is, or as is said; further ones of a file are numbered."""
    request = (100, 30, 0.5, 1000.0, 1002.0, "success")
    twice = [compressa.Experiment("a", requests=(request,))] * 2
    path = cli.folder / "runs.sqlite"
    path.write_bytes(compressa.database(*twice))

    cli.run("baseline", "import", str(path))
    cli.run("baseline", "import", str(path), "--name", "x", "--format", "compressa")

    assert ["runs", "runs-2", "x", "x-2"] == sorted(cli.names())
    cli.run("baseline", "drop", "runs")
    assert "baseline 'runs-2' exists; choose another name, or drop it first" == cli.refused(
        "baseline", "import", str(path)
    )
    assert ["runs-2", "x", "x-2"] == sorted(cli.names())


def test_import_of_something_else(cli: Cli, tmp_path: Path) -> None:
    """What cannot be imported is told with the file's path and why, and nothing is stored."""
    path = tmp_path / "day.json"
    wrote = "give a file that monitor baseline export, vllm bench serve, GuideLLM or compressa-perf wrote"
    assert f"{path}: No such file or directory; {wrote}" == cli.refused("baseline", "import", str(path))
    path.write_bytes(b"\xff")
    assert f"{path}: not a text file" == cli.refused("baseline", "import", str(path))
    path.write_text("{}")
    assert cli.refused("baseline", "import", str(path)).startswith(f"{path}: not a baseline: neither ours nor one of ")
    text = cli.refused("baseline", "import", str(path), "--format", "guidellm")
    assert text.startswith(f"{path}: not a report of GuideLLM since 0.4: benchmarks: ")
    os.truncate(path, LARGEST + 1)
    assert f"{path}: it has more than 128 MiB; {wrote}" == cli.refused("baseline", "import", str(path))
    assert [] == cli.names()


def paired(**_: Any) -> tuple[Any, Any]:
    """Give two baselines: one twice as slow, of another version, without one stratum."""
    warm = Series("warm_ratio", "warm@1 load 0", (0.0,), (0.25,))
    first, second = baseline("a"), baseline("b")
    facts = (Fact(catalog.VERSION, "0.33.0"), first.facts[1])
    series = tuple(replace(one, values=tuple(value * 2 for value in one.values)) for one in first.series[:2])
    return (
        replace(first, series=(*first.series, warm)),
        replace(second, series=(*series, replace(warm, values=(0.5,))), facts=facts),
    )


def test_compare(cli: Cli) -> None:
    """Two baselines are compared figure by figure, each in its unit; what only one has, and what changed, is told."""
    for one in paired():
        cli.keep(one)

    document = cli.json("baseline", "compare", "a", "b")

    rows = [(row["metric"], row["stratum"], row["ratio"], row["better"]) for row in document["rows"]]
    idle, busy = "short@1 load 0", "short@1 load 1-2"
    assert [
        ("tpot", idle, 2.0, "first"),
        ("ttft", idle, 2.0, "first"),
        ("ttft", busy, None, None),
        ("warm_ratio", "warm@1 load 0", 2.0, "first"),
    ] == rows
    tpot, _, alone, ratio = document["rows"]
    assert ("seconds", 0.0105, 0.021, 3, 3) == tuple(
        tpot[key] for key in ("unit", "first", "second", "n_first", "n_second")
    )
    assert (0.06, None, 1, 0) == tuple(alone[key] for key in ("first", "second", "n_first", "n_second"))
    assert ("ratio", "n = 1, not tested: b is higher by 100 %") == (ratio["unit"], ratio["verdict"])
    assert [{"fact": "vllm.version", "first": "0.32.0", "second": "0.33.0"}] == document["facts"]
    lines = cli.run("baseline", "compare", "a", "b").stdout.splitlines()
    assert "  vllm.version 0.32.0 → 0.33.0" in lines
    cells = [line.split(" load ")[1].split()[1:] for line in lines[1:5]]
    assert [
        ["10.5", "ms", "3", "21", "ms", "3", "2.000", "-"],
        ["51", "ms", "3", "102", "ms", "3", "2.000", "-"],
        ["60", "ms", "1", "-", "0", "-", "-"],
        ["0.250", "1", "0.500", "1", "2.000", "-"],
    ] == [line[: line.index("n" if "n" in line else "only")] for line in cells]


def test_compare_says_the_same_each_time(cli: Cli) -> None:
    """What is tested is tested with the same dice each time, and short samples say what they cannot know."""
    for name in ("a", "b"):
        cli.run("baseline", "import", str(DETAILED), "--name", name)

    document = cli.json("baseline", "compare", "a", "b")

    assert document == cli.json("baseline", "compare", "a", "b")
    (ttft,) = (row for row in document["rows"] if row["metric"] == "ttft")
    assert ttft["ratio_low"] <= 1.0 <= ttft["ratio_high"]
    assert ttft["verdict"].startswith("no difference that these samples can show")
    assert document["caveat"].startswith("samples of less than 24 h")
    assert f"  {document['caveat']}" in cli.run("baseline", "compare", "a", "b").stdout.splitlines()


def test_our_own_file_by_another_name_and_model(cli: Cli) -> None:
    """A file of ours may be given another name and model, and becomes the active one."""
    path = cli.folder / "day.json"
    path.write_text(own.write(baseline()))

    said = cli.run("baseline", "import", str(path), "--name", "mine", "--model", "other", "--format", "own").stdout

    assert f"mine is active for {ENDPOINT}\n" == said
    assert "other" == cli.json("baseline", "show", "mine")["baseline"]["model"]
