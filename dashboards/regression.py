"""One canary of one server: since when it is slower, by how much, at which load, and what may have brought it."""

from itertools import groupby

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.common import GraphDrawStyle

from dashboards import shown
from dashboards.board import Row, board, instance, model, profile, target
from dashboards.panels import About, Panel, Query, buckets, lines, number
from dashboards.tables import Column, rows
from monitor.detect.strata import load_class
from monitor.model import Load


def regression() -> build.Dashboard:
    """Give the dashboard on which a regression is looked into."""
    return board(
        "regression",
        "vLLM monitor / Regression",
        "One canary of one server: how much slower, since when, at which load, and what may have brought it.",
        [instance(), model(), target("one"), profile("one")],
        (
            Row("Verdict", (shown.verdict(6), shown.against("ttft", 6), shown.against("tpot", 6), _baseline())),
            Row("Against the baseline", (shown.band("ttft"), shown.band("tpot"))),
            Row("Causes", (shown.findings(14, 8), shown.causes(10, 8), _ratio(), _changed())),
            Row("Distributions", (_buckets("ttft"), _buckets("tpot"), _quantiles("ttft"), _quantiles("tpot"))),
            Row("By load", (_by_load("ttft"), _by_load("tpot"))),
            Row("Streams and caches", (_stalls(), _warm(), _lasting())),
        ),
    )


def _baseline() -> Panel:
    text = "Age of the active baseline, and its name. A recapture makes another one active; `monitor baseline list`."
    expr = "time() - max by (instance, target, baseline) (vllm_monitor_baseline_captured_timestamp_seconds{<target>})"
    return number(About("Baseline", text, "s", 6, 4, none="none captured"), Query(expr, "{{baseline}}"))


def _ratio() -> Panel:
    text = "Mean of the last probes against the baseline's at the same load, for all that is judged of this canary."
    expr = "max by (instance, target, profile, metric) (vllm_monitor_baseline_ratio{<probe>}) - 1"
    about = About("Change against the baseline", text, "percentunit", 12, steps=shown.CHANGES, none="not judged")
    return lines(about, Query(expr, "{{metric}}"))


def _changed() -> Panel:
    text = "Settings whose value is another one than at the beginning of the time range."
    now = 'vllm_monitor_fact_info{instance=~"$instance",target=~"|$target"}'
    expr = (
        f"max by (instance, target, fact, value) (\n  ({now} unless {now} offset $__range)\n"
        f"  and on (instance, target, fact) {now} offset $__range\n)"
    )
    about = About("Settings that changed", text, "short", none="no setting changed in this time range")
    return rows(about, Column("", expr))


def _buckets(metric: str) -> Panel:
    text = f"How many probes had which {metric.upper()}; two bands at once are two modes, which a mean would hide."
    expr = f"sum by (le) (increase(vllm_monitor_canary_{metric}_seconds_bucket{{<probe>}}[$__rate_interval]))"
    about = About(f"Canary {metric.upper()}, distribution", text, "s", every="5m", none="no canary has answered")
    return buckets(about, Query(expr))


def _quantiles(metric: str) -> Panel:
    text = "Quantiles of the probes of one hour each, from what was measured, not from buckets."
    last = f"vllm_monitor_canary_last_{metric}_seconds{{<probe>}}[1h]"
    about = About(f"Canary {metric.upper()}, hourly quantiles", text, "s", none="no canary has answered")
    return lines(
        about,
        *(Query(f"quantile_over_time({q}, {last})", name) for q, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))),
    )


def _by_load(metric: str) -> Panel:
    text = "The last probe, by how many requests ran beside it at the last heartbeat: the classes that are compared."
    last = f"vllm_monitor_canary_last_{metric}_seconds{{<probe>}}"
    running = "sum by (instance, target) (vllm_monitor_vllm_requests_running{<target>})"
    parts = (
        f'label_replace({last} and on (instance, target) ({running} {within}), "load", "{name}", "", "")'
        for name, within in _classes()
    )
    about = About(f"Canary {metric.upper()} by requests running", text, "s", none="load not told, or no canary")
    return lines(about, Query("\nor ".join(parts), "{{load}}")).draw_style(GraphDrawStyle.POINTS)


def _classes() -> list[tuple[str, str]]:
    """Give the load classes as the judge names them, each with its bounds in PromQL."""
    most = 1000
    groups = [(name, list(group)) for name, group in groupby(range(most), lambda n: load_class(Load(n, 0)))]
    return [(name, f">= {group[0]}" + (f" <= {group[-1]}" if group[-1] < most - 1 else "")) for name, group in groups]


def _stalls() -> Panel:
    text = "Longest gap between two chunks of the last probe's stream: how long others make a user wait."
    about = About("Longest ITL", text, "s", 8, none="no canary has answered")
    return lines(about, Query("vllm_monitor_canary_itl_max_seconds{<probe>}", "{{profile}}"))


def _warm() -> Panel:
    text = "TTFT of a long prompt just seen over TTFT of the same prompt cold, for the profile `warm`: 1 is no caching."
    about = About("Warm / cold TTFT", text, "percentunit", 8, none="only the profile warm tells")
    return lines(about, Query("vllm_monitor_canary_warm_ratio{<probe>}", "{{profile}}"))


def _lasting() -> Panel:
    text = "End-to-end latency of the last probe."
    about = About("Canary E2E", text, "s", 8, none="no canary has answered")
    return lines(about, Query("vllm_monitor_canary_last_e2e_seconds{<probe>}", "{{profile}}"))
