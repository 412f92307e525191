"""Choosing lines before parsing: nothing wanted is lost, nothing else is parsed, and whatever comes is data or told."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm_pages import LIVE, NAMES, text_of

from monitor.collect.exposition import families, is_openmetrics, parse
from monitor.collect.fetch import LookError
from monitor.collect.vllm.figures import WANTED

RUNNING = "vllm:num_requests_running"


def values(text: str) -> list[float]:
    return [sample.value for sample in parse(text, {RUNNING})]


def test_filtered_equals_whole() -> None:
    """Choosing lines before parsing loses nothing that is wanted, and never takes a bucket."""
    text = "\n".join(line for line in LIVE.splitlines() if not line.startswith("#"))

    assert parse(LIVE, WANTED) == parse(text, WANTED)
    assert any(sample.name == "vllm:time_to_first_token_seconds_sum" for sample in parse(LIVE, WANTED))
    assert not any(sample.name.endswith(("_bucket", "_created")) for sample in parse(LIVE, WANTED))


def test_openmetrics_equals_text() -> None:
    """The same server says the same in OpenMetrics as in the text format: samples, families, kinds."""
    text, openmetrics = (text_of(name) for name in ("v0.32.0-live", "v0.32.0-live-openmetrics"))

    assert {sample.name for sample in parse(text, WANTED)} == {sample.name for sample in parse(openmetrics, WANTED)}
    assert families(text, "vllm:") == families(openmetrics, "vllm:")
    assert (False, True) == (is_openmetrics(text), is_openmetrics(openmetrics))


@pytest.mark.parametrize(
    "line",
    [
        f"{RUNNING} 7",
        f"{RUNNING}\t7",
        f"  {RUNNING}  7 ",
        f'{RUNNING}{{engine="0",}} 7.0 1795219502000',
        f'{RUNNING}{{engine="0"}} 7 # {{trace_id="x"}} 0.67 1795219502.1',
        f'{RUNNING}{{model_name="a\\"}} 9 b\u2028c\x0b"}} 7e0',
        'vllm_num_requests_running{engine="0"} 7\r',
    ],
)
def test_every_way_of_writing_a_line(line: str) -> None:
    """Blanks, tabs, timestamps, exemplars and odd labels are what the formats allow."""
    assert [7.0] == values(f"# HELP {RUNNING} Requests.\n{line}\nother 9\n")


def test_what_is_not_finite_is_absent() -> None:
    """NaN and infinity are no figures."""
    assert [] == values(f"{RUNNING} NaN\n{RUNNING} +Inf\n{RUNNING} -Inf\n")


@pytest.mark.parametrize("line", [f"{RUNNING}{{engine= 1", f'{RUNNING}{{engine="0"}}', f"{RUNNING} seven", RUNNING])
def test_a_broken_line_is_told(line: str) -> None:
    """A wanted line that cannot be read fails the look in words; one of others does not matter."""
    with pytest.raises(LookError, match="not a Prometheus exposition"):
        values(line)
    assert [] == [*parse(line, {"vllm:other"})]


def test_families_with_and_without_declaration() -> None:
    """Families are named as the text format does, declared or not, with samples or before the first one."""
    text = """\
# TYPE vllm:a gauge
# TYPE vllm_b counter
vllm_b_total 1
# TYPE vllm:c histogram
vllm:c_sum 1
vllm:d_bucket{le="1"} 1
vllm:d_sum 1
vllm:d_count 1
vllm:e 1
# TYPE vllm:cache_config info
vllm:cache_config_info{x="1"} 1
# TYPE vllm:a_created gauge
other 1
"""
    wanted = {"a": "gauge", "b_total": "counter", "c": "histogram", "d": "histogram", "e": "untyped"}

    assert {f"vllm:{name}": kind for name, kind in wanted.items()} | {"vllm:cache_config_info": "info"} == families(
        text, "vllm:"
    )


@given(st.text())
def test_parse_never_raises_anything_else(text: str) -> None:
    """Whatever a server sends, parsing gives finite values or a LookError."""
    try:
        found = parse(text + f"\n{RUNNING} " + text, WANTED)
    except LookError:
        return

    assert all(math.isfinite(sample.value) for sample in found)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_captures(name: str) -> None:
    """A capture that is cut, glued, or misspelt anywhere gives finite values of wanted names, or a LookError."""
    rng = random.Random(name)
    lines = [line for line in text_of(name).splitlines(keepends=True) if "_bucket" not in line]
    for _ in range(60):
        damaged = list(lines)
        at = rng.randrange(len(damaged))
        cut = rng.randrange(len(damaged[at]) + 1)
        damaged[at] = rng.choice([damaged[at][:cut], damaged[at][:cut] + "\n", damaged[at][cut:], "{" + damaged[at]])
        text = "".join(damaged)
        try:
            found = parse(text, WANTED)
        except LookError:
            continue
        assert all(math.isfinite(sample.value) and sample.name in WANTED for sample in found)
        assert all(family.startswith("vllm:") for family in families(text, "vllm:"))


@given(st.text(alphabet='# TYPEHvllm:_ag{}"=01.,\n\t', max_size=120))
def test_families_of_anything(text: str) -> None:
    """Whatever a server sends, its families have the prefix and some kind."""
    assert all(name.startswith("vllm:") and isinstance(kind, str) for name, kind in families(text, "vllm:").items())
