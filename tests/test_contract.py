"""What each version must show: every real capture is complete, and each loss and rename is named with what it costs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vllm_pages import NAMES, SILENT, page, page_of, text_of, version_of

from monitor import catalog
from monitor.contract import COMPLETE, MOVES, Exposed, absent, engine, fact, has_metrics, moved, severity, successors
from monitor.model import Fact
from monitor.vllm_names import OTHERS, QUANTITIES, Quantity, families, version

KINDS = {name.family: quantity.kind for quantity in QUANTITIES for name in quantity.names}
NEWEST = Exposed({quantity.names[0].family: quantity.kind for quantity in QUANTITIES}, labelled=True)


def without(*gone: str, **new: str) -> Exposed:
    """Give the newest exposition without some families, and with others."""
    kept = {family: kind for family, kind in NEWEST.families.items() if family not in {f"vllm:{name}" for name in gone}}
    return Exposed(kept | {f"vllm:{name}": kind for name, kind in new.items()}, labelled=True)


def told(exposed: Exposed, of: str = "0.34.0") -> str | None:
    return fact(of, exposed).value


@pytest.mark.parametrize("name", [name for name in NAMES if name != SILENT])
def test_captures_keep_their_contract(name: str) -> None:
    """Every known version, V0 and V1, one process or several, shows what it must."""
    assert Fact(catalog.CONTRACT, COMPLETE, "/metrics") == fact(version_of(name), page_of(name).exposed())


@pytest.mark.parametrize("name", [name for name in NAMES if name != SILENT])
def test_engines_of_captures(name: str) -> None:
    """V0 and V1 are told apart by what they show; the captures' names say which is which."""
    expected = "V0" if "-v0-" in name else "V1"

    assert expected == engine(version_of(name), page_of(name).exposed())


@pytest.mark.parametrize(
    ("of", "shown", "labelled", "expected"),
    [
        ("", {"vllm:num_requests_running"}, False, ""),
        ("", {"vllm:num_requests_running"}, True, "V1"),
        ("", {"vllm:num_requests_swapped"}, False, "V0"),
        ("0.7.0", set(), False, "V0"),
        ("0.8.2", {"vllm:num_requests_running"}, False, "V1"),
        ("0.10.2", {"vllm:num_requests_running"}, False, "V0"),
        ("0.11.0", set(), False, "V1"),
    ],
)
def test_engines(of: str, shown: set[str], labelled: bool, expected: str) -> None:  # noqa: FBT001 - a parameter of the cases
    """Labels tell V1, V0's own names tell V0, versions the rest; without any of these nobody can say."""
    assert expected == engine(of, Exposed(dict.fromkeys(shown, "gauge"), labelled))


@pytest.mark.parametrize("name", NAMES)
def test_every_family_of_the_captures_is_known(name: str) -> None:
    """What we do not read is in a list: a family that is in none can only be new."""
    assert page_of(name).exposed().families.keys() <= families() | OTHERS


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda quantity: quantity.ours)
def test_each_loss_is_named(quantity: Quantity) -> None:
    """A version after the newest one known must show what that one shows; what is gone is named as it was."""
    name = quantity.names[0].family

    assert name == told(without(name.removeprefix("vllm:")))


def test_losses_are_sorted() -> None:
    """Several losses are one sorted list."""
    expected = "vllm:e2e_request_latency_seconds, vllm:kv_cache_usage_perc → vllm:kv_cache_used_perc"
    shown = without("kv_cache_usage_perc", "e2e_request_latency_seconds", kv_cache_used_perc="gauge")

    assert expected == told(shown)


RENAMES = [
    ("gpu_cache_usage_perc", "kv_cache_usage_perc"),
    ("gpu_prefix_cache_queries_total", "prefix_cache_queries_total"),
    ("gpu_prefix_cache_hits_total", "prefix_cache_hits_total"),
    ("time_per_output_token_seconds", "inter_token_latency_seconds"),
]


@pytest.mark.parametrize(("old", "new"), RENAMES)
def test_the_renames_that_were(old: str, new: str) -> None:
    """Each rename that vLLM ever made would have been recognised by somebody who only knew the old name."""
    kind = KINDS[f"vllm:{old}"]
    shown = {f"vllm:{name}": KINDS.get(f"vllm:{name}", "counter") for name in (new, "unheard_of", "request_total")}
    strange = {name.replace("vllm:", "vllm:new_"): kind for name, kind in shown.items()}

    assert (f"vllm:new_{new}",) == successors(f"vllm:{old}", kind, strange)


@pytest.mark.parametrize(
    ("gone", "new", "kind"),
    [
        ("kv_cache_usage_perc", "kv_cache_usage_ratio", "gauge"),
        ("kv_cache_usage_perc", "kv_cache_utilization", "gauge"),
        ("num_requests_running", "running_requests", "gauge"),
        ("num_requests_waiting", "num_requests_queued", "gauge"),
        ("time_to_first_token_seconds", "request_ttft_seconds", "histogram"),
        ("inter_token_latency_seconds", "itl_seconds", "histogram"),
        ("e2e_request_latency_seconds", "request_latency_seconds", "histogram"),
        ("request_queue_time_seconds", "request_waiting_time_seconds", "histogram"),
        ("iteration_tokens_total", "tokens_per_step", "histogram"),
        ("num_preemptions_total", "preemptions_total", "counter"),
        ("prefix_cache_hits_total", "prefix_cache_hit_tokens_total", "counter"),
        ("engine_sleep_state", "sleep_state", "gauge"),
        ("cache_config_info", "kv_cache_config_info", "gauge"),
        ("kv_cache_usage_perc", "kv_cache_usage", "untyped"),
    ],
)
def test_a_likely_successor_is_named(gone: str, new: str, kind: str) -> None:
    """A family that nobody knows, of the kind and most of the words of what is gone, is told as its successor."""
    assert f"vllm:{gone} → vllm:{new}" == told(without(gone, **{new: kind}))


@pytest.mark.parametrize(
    ("gone", "new", "kind"),
    [
        ("kv_cache_usage_perc", "kv_cache_usage_total", "counter"),
        ("kv_cache_usage_perc", "gpu_power_watts", "gauge"),
        ("prefix_cache_queries_total", "external_prefix_cache_queries_total", "counter"),
        ("inter_token_latency_seconds", "request_time_per_output_token_seconds", "histogram"),
        ("num_requests_running", "nixl_num_requests_running", "gauge"),
    ],
)
def test_no_successor_is_made_up(gone: str, new: str, kind: str) -> None:
    """Another kind, other words, or a name that is known as something else is no successor."""
    assert f"vllm:{gone}" == told(without(gone, **{new: kind}))


def test_successors_that_are_as_likely() -> None:
    """Of names that are as likely none is preferred."""
    shown = without("engine_sleep_state", sleep_state="gauge", engine_state="gauge")

    assert "vllm:engine_sleep_state → vllm:engine_state or vllm:sleep_state" == told(shown)


def test_old_names_where_they_belong() -> None:
    """A version before a rename is held to its own name, and one that shows an older one loses nothing."""
    old = page_of("v0.8.5-v1-synth").exposed()
    kept = {family: kind for family, kind in old.families.items() if "gpu_cache_usage" not in family}

    assert "vllm:gpu_cache_usage_perc" == told(Exposed(kept, labelled=True), "0.8.5")
    assert COMPLETE == told(without("kv_cache_usage_perc", gpu_cache_usage_perc="gauge"), "0.11.0")


def test_v0_is_held_to_what_it_always_shows() -> None:
    """V0 makes most series with the first request: a server without one yet keeps its contract."""
    fresh = "\n".join(
        f"vllm:{name} 0" for name in ("num_requests_running", "num_requests_waiting", "cache_config_info")
    )

    assert "vllm:gpu_cache_usage_perc" == told(page(fresh).exposed(), "0.8.5")
    assert COMPLETE == told(page(fresh + "\nvllm:gpu_cache_usage_perc 0").exposed(), "0.8.5")


def test_declared_is_shown() -> None:
    """What is declared and has no sample yet is there."""
    text = "\n".join(f"# TYPE {family} {kind}" for family, kind in NEWEST.families.items())

    assert COMPLETE == told(page(text).exposed(), "0.33.0")


def test_the_rust_front_end() -> None:
    """The Rust front end, known by its OpenMetrics, need not show what it does not have."""
    lines = text_of("v0.32.0-live-openmetrics").replace("vllm_", "vllm:").splitlines()
    kept = [line for line in lines if "cache_config" not in line and "sleep_state" not in line]
    python, rust = page("\n".join(kept[:-1])).exposed(), page("\n".join(kept)).exposed()

    assert ("vllm:cache_config_info, vllm:engine_sleep_state", COMPLETE) == (told(python), told(rust))


@pytest.mark.parametrize(
    ("of", "exposed", "why"),
    [
        ("", NEWEST, "vLLM's version is not known, and so not what it must show"),
        ("0.1.dev1+g5df63a720", NEWEST, "vLLM's version is not known, and so not what it must show"),
        ("0.5.4", NEWEST, "nothing is known of vLLM before 0.6"),
        ("0.32.0", Exposed({}, labelled=False), "no vLLM metrics at all"),
        ("0.32.0", Exposed({"vllm:websocket_sessions_total": "counter"}, labelled=False), "no vLLM metrics at all"),
    ],
)
def test_what_cannot_be_checked(of: str, exposed: Exposed, why: str) -> None:
    """Without a version or metrics there is nothing to hold a server to, which is said and is no loss."""
    assert Fact(catalog.CONTRACT, None, "/metrics", why) == fact(of, exposed)


def test_all_names_changed_is_not_silence() -> None:
    """A server whose every name is new has metrics: it was not started with --disable-log-stats."""
    renamed = Exposed({f.replace("vllm:", "vllm:engine_"): kind for f, kind in NEWEST.families.items()}, labelled=True)

    assert has_metrics(renamed)
    assert "vllm:num_requests_running → vllm:engine_num_requests_running" in str(told(renamed))
    assert not has_metrics(page_of(SILENT).exposed())


def test_severity() -> None:
    """Without what liveness and detection need judgement is blind, which warns; the rest informs."""
    assert ("warning", "info") == (severity("vllm:num_requests_running"), severity("vllm:engine_sleep_state"))
    assert "warning" == severity("vllm:cache_config_info, vllm:time_to_first_token_seconds → vllm:ttft_seconds")
    assert "info" == severity("vllm:kv_cache_usage_perc → vllm:num_requests_running")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.32.0", (0, 32, 0)),
        ("v0.7.3", (0, 7, 3)),
        ("0.6.6.post1", (0, 6, 6)),
        ("0.11.0rc3", (0, 11, 0)),
        ("0.9", (0, 9, 0)),
        ("0.11.1.dev12+g123abc.d20251101", (0, 11, 1)),
        ("1.0.0", (1, 0, 0)),
        ("0.1.dev7008+g5df63a720", None),
        ("dev", None),
        ("", None),
    ],
)
def test_versions(text: str, expected: tuple[int, int, int] | None) -> None:
    """Versions are read whatever follows their numbers; a build that knows of no release tells nothing."""
    assert expected == version(text)


@pytest.mark.parametrize(
    ("metric", "before", "after", "moves"),
    [
        (catalog.USERS_TTFT, "0.16.0", "0.17.1", True),
        (catalog.USERS_E2E, "0.17.0", "0.11.2", True),
        (catalog.USERS_TTFT, "0.17.0", "0.33.0", False),
        (catalog.USERS_TTFT, "0.11.0", "0.16.0", False),
        (catalog.USERS_QUEUE, "0.16.0", "0.17.1", False),
        (catalog.PREFIX_RATIO, "0.11.0", "0.11.1", True),
        (catalog.USERS_TPOT, "0.7.3", "0.8.0", True),
        (catalog.USERS_TTFT, "", "0.17.1", False),
        (catalog.USERS_TTFT, "0.16.0", "dev", False),
        (catalog.USERS_TTFT, "0.16.0", "0.16.0", False),
    ],
)
def test_what_moved_under_its_name(metric: str, before: str, after: str, moves: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """Figures on both sides of a change of meaning do not compare, whichever side is the baseline's."""
    assert moves == (metric in moved(before, after))
    assert moved(before, after) == moved(after, before)


def test_moves_are_of_the_catalogue() -> None:
    """Each figure that moved is one of ours, and the reason says since when; they stand in the order of time."""
    assert {metric for move in MOVES for metric in move.metrics} <= catalog.METRICS.keys()
    assert all(re.search(r"(before|since) 0\.\d+", move.why) for move in MOVES)
    assert sorted(MOVES, key=lambda move: move.since) == list(MOVES)


FAMILIES = st.dictionaries(
    st.sampled_from(sorted(KINDS)) | st.text("abcdefghij_:", max_size=30).map(lambda text: f"vllm:{text}"),
    st.sampled_from(["gauge", "counter", "histogram", "untyped", ""]),
)


@given(st.text() | st.from_regex(r"0\.\d{1,2}\.\d", fullmatch=True), FAMILIES, st.booleans(), st.booleans())
def test_any_exposition_is_complete_or_told(of: str, shown: dict[str, str], labelled: bool, rust: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever is shown, the fact says complete exactly if nothing is absent, names each loss once, or says why not."""
    exposed = Exposed(shown, labelled, rust)
    said, missing = fact(of, exposed), absent(of, exposed)

    if said.value is None:
        assert said.why
    elif said.value == COMPLETE:
        assert not missing
    else:
        named = [item.split(" ")[0] for item in said.value.split(", ")]
        assert len(missing) == len(named) == len(set(named))
        assert {*named}.isdisjoint(shown)
