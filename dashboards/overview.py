"""Is it well: states, verdicts, TTFT and TPOT beside their baseline, what is open, whether the monitor itself works."""

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import shown
from dashboards.board import Row, board, instance, model, profile, target
from dashboards.panels import About, Panel, Query, lines, number
from dashboards.tables import Column, rows

_HEARTS = "0 * count(vllm_monitor_heartbeat_timestamp_seconds{<target>})"


def overview() -> build.Dashboard:
    """Give the dashboard that is opened first."""
    return board(
        "overview",
        "vLLM monitor / Overview",
        "Is it well? States, verdicts, canary TTFT and TPOT beside their baseline, and what is open.",
        [instance(), model(), target(), profile("one")],
        (
            Row("Now", (*_now(), _open(), shown.states(4))),
            Row("What is wrong", (shown.findings(15), shown.causes(9))),
            Row("Canary of $target, profile $profile", (shown.band("ttft"), shown.band("tpot")), "target"),
            Row("Whether that can be trusted", (_failing(), _heart(), _unjudged())),
        ),
    )


def _now() -> tuple[Panel, ...]:
    return shown.state(5), shown.verdict(5), shown.against("ttft", 4), shown.against("tpot", 4)


def _open() -> Panel:
    text = "Open findings by kind; drift is a setting that is not as its rule or the baseline wants it."
    kinds = {"regression": "regressions", "health": "health", "tuning": "drift"}
    return number(
        About("Findings by kind", text, "none", 6, 4, steps=((1, "orange"),), none="no monitor"),
        *(
            Query(f'count(vllm_monitor_finding_active{{<target>,kind="{kind}"}}) or {_HEARTS}', name)
            for kind, name in kinds.items()
        ),
    )


def _failing() -> Panel:
    text = "Share of the canary's probes that fail, whatever the reason."
    sent = "sum by (instance, target, profile) (rate(vllm_monitor_canary_probes_total{<target>}[$__rate_interval]))"
    failed = sent.replace("probes_total", "failures_total")
    about = About("Canaries that fail", text, "percentunit", 8, alerts=("MonitorCanaryFailing",), every="15m")
    return lines(about, Query(f"({failed} or 0 * {sent}) / {sent}", "{{target}} {{profile}}"))


def _heart() -> Panel:
    text = "Time since the monitor's last look at each server ended. Above the line, what is shown here is old."
    expr = "time() - max by (instance, target) (vllm_monitor_heartbeat_timestamp_seconds{<target>})"
    return lines(
        About("Age of the last heartbeat", text, "s", 8, alerts=("MonitorHeartbeatStale",)), Query(expr, "{{target}}")
    )


def _unjudged() -> Panel:
    text = "Metrics that cannot be compared with a baseline now, and why: of these no news is no good news."
    expr = "max by (target, profile, metric, reason) (vllm_monitor_unjudged_info{<target>})"
    return rows(About("Not judged", text, "short", 8, none="everything is judged"), Column("", expr))
