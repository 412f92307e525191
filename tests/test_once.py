"""A change is told once, though several facts show it, and not at all where the same is in force as before."""

import pytest

from monitor import catalog
from monitor.model import Fact
from monitor.tuning import drift
from monitor.tuning.once import ECHOES
from monitor.tuning.ruling import Rulebook, Standing

CRITICAL = Standing("effective.kv_cache_dtype", "critical", "changes the answers", "restore it", "a guide")
BOOK = Rulebook((), {}, compared={CRITICAL.fact: CRITICAL})


def told(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Give what is found of each fact, with its severity."""
    was, now = (tuple(Fact(name, value) for name, value in facts.items()) for facts in (before, after))
    return {one.subject: one.severity for one in drift.drift("llama", was, now, BOOK)}


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (
            {"process.arg.max-num-seqs": "unset", "process.arguments": "a", "vllm.max_num_seqs": "256"},
            {"process.arg.max-num-seqs": "64", "process.arguments": "b", "vllm.max_num_seqs": "64"},
            {"process.arg.max-num-seqs": "info"},
        ),
        ({"vllm.max_num_seqs": "256"}, {"vllm.max_num_seqs": "64"}, {"vllm.max_num_seqs": "info"}),
        ({"process.arguments": "a"}, {"process.arguments": "b"}, {"process.arguments": "info"}),
        (
            {"process.arg.enforce-eager": "unset", "process.arguments": "a"},
            {"process.arg.enforce-eager": "false", "process.arguments": "b"},
            {},
        ),
        (
            {"process.arg.kv-cache-dtype": "unset"},
            {"process.arg.kv-cache-dtype": "fp8"},
            {"process.arg.kv-cache-dtype": "critical"},
        ),
        ({"vllm.cache_dtype": "auto"}, {"vllm.cache_dtype": "fp8"}, {"vllm.cache_dtype": "critical"}),
        ({"process.arg.dtype": "unset"}, {"process.arg.dtype": "float16"}, {"process.arg.dtype": "info"}),
        (
            {"process.arg.compilation-config": "{}", "process.arg.compilation-config.cudagraph_mode": "unset"},
            {"process.arg.compilation-config": "{...}", "process.arg.compilation-config.cudagraph_mode": "FULL"},
            {"process.arg.compilation-config.cudagraph_mode": "info"},
        ),
        (
            {
                "vllm.version": "0.31.0",
                "process.package.vllm": "0.31.0",
                "process.wheel.vllm": "a",
                "process.install_order": "x",
            },
            {
                "vllm.version": "0.32.0",
                "process.package.vllm": "0.32.0",
                "process.wheel.vllm": "b",
                "process.install_order": "y",
            },
            {"vllm.version": "info"},
        ),
        ({"process.wheel.torch": "a"}, {"process.wheel.torch": "b"}, {"process.wheel.torch": "info"}),
    ],
)
def test_once(before: dict[str, str], after: dict[str, str], found: dict[str, str]) -> None:
    """The plainest fact tells, as gravely as the guides say of what it decides."""
    assert found == told(before, after)


def test_what_follows_is_not_compared() -> None:
    """Facts that follow from others are not compared themselves, wherever they were kept."""
    quota = {"process.affinity": "0-1", "process.cpu_quota": "1", "model.family": "other"}
    none = {"process.affinity": "0-1", "process.cpu_quota": "none", "model.family": "Qwen3-32B"}

    assert {"process.cpu_quota": "info"} == told(quota, none)


def test_nothing_echoes_for_ever() -> None:
    """Of facts that speak for each other one is always told: no fact is the echo of its own echo."""
    for fact in ECHOES:
        seen, left = set[str](), list(ECHOES[fact])
        while left:
            seen.add(other := left.pop())
            left += [one for one in ECHOES.get(other, ()) if one not in seen]
        assert fact not in seen


def test_echoes_are_facts() -> None:
    """Every name that speaks for another, or is spoken for, is a fact."""
    assert {*ECHOES, *(name for names in ECHOES.values() for name in names)} <= catalog.FACTS.keys()
