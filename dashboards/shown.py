"""Panels that several dashboards show: states, verdicts, what is open, and a canary beside its baseline."""

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from dashboards.panels import About, Query, Words, history, lines, number
from dashboards.tables import Column, rows
from monitor.detect.verdict import FLOOR, SEVERE_EFFECT
from monitor.model import STATES

_COLOURS = {"alive": "green", "saturated": "orange", "hung": "red", "dead": "red", "waiting": "text"}
STATE_WORDS: Words = {code: (state, _COLOURS.get(state, "blue")) for code, state in enumerate(STATES, 1)}
STATE = (
    "max by (instance, target) (\n  "
    + "\n  or ".join(
        f'{code} * vllm_monitor_vllm_state{{<target>,state="{one}"}}' for code, one in enumerate(STATES, 1)
    )
    + "\n)"
)
VERDICT_WORDS: Words = {
    -1: ("not judged", "blue"),
    0: ("well", "green"),
    1: ("informed", "blue"),
    2: ("warning", "orange"),
    3: ("critical", "red"),
}
VERDICT = """max by (instance, target) (
  3 * vllm_monitor_finding_active{<target>,severity="critical"}
  or 2 * vllm_monitor_finding_active{<target>,severity="warning"}
  or vllm_monitor_finding_active{<target>,severity="info"}
  or vllm_monitor_judged{<target>} - 1
)"""
CHANGES = ((FLOOR, "orange"), (SEVERE_EFFECT, "red"))
"""The judge's own limits: below the first nothing is found, from the second on a finding is critical."""


def change(metric: str, selected: str = "<probe>") -> str:
    """Ask how much a metric is above its baseline: 0.2 is a fifth more."""
    return f'max by (instance, target) (vllm_monitor_baseline_ratio{{{selected},metric="{metric}"}}) - 1'


def state(width: int) -> stat.Panel:
    """Show the state that each server is in."""
    return number(
        About("Server", "The state that each server is in.", "none", width, 4, words=STATE_WORDS, none="no monitor"),
        Query(STATE, "{{target}}"),
    )


def states(height: int) -> statetimeline.Panel:
    """Show which state each server was in when."""
    return history(
        About("States", "Which state each server was in.", "none", 24, height, words=STATE_WORDS, none="no monitor"),
        Query(STATE, "{{target}}"),
    )


def verdict(width: int) -> stat.Panel:
    """Show the gravest open finding of each server."""
    text = "The gravest open finding of each server. Well: nothing is open, and something can be judged."
    return number(
        About("Verdict", text, "none", width, 4, words=VERDICT_WORDS, none="no monitor"), Query(VERDICT, "{{target}}")
    )


def against(metric: str, width: int) -> stat.Panel:
    """Show how much a latency is above its baseline."""
    text = (
        f"Canary {metric.upper()} of the last probes against the baseline's at the same load. "
        f"Below +{FLOOR:.0%} nothing is found; from +{SEVERE_EFFECT:.0%} on a finding is critical."
    )
    about = About(f"{metric.upper()} above baseline", text, "percentunit", width, 4, steps=CHANGES, none="not judged")
    return number(about, Query(change(metric), "{{target}}"))


def findings(width: int, height: int = 7) -> table.Panel:
    """List what is open, and since when."""
    text = "What is open and since when it holds, not when it was found. The server's name leads to its regressions."
    by = "instance, target, kind, severity, subject"
    expr = f"1000 * max by ({by}) (vllm_monitor_finding_since_timestamp_seconds{{<target>}})"
    about = About("Open findings", text, "short", width, height, none="nothing is open")
    return rows(about, Column("since", expr, "dateTimeFromNow"))


def causes(width: int, height: int = 7) -> table.Panel:
    """List the open incidents by their likeliest cause."""
    text = "The fact or event that most likely brought each open incident; the monitor's page has the others."
    expr = "max by (instance, target, cause) (vllm_monitor_incident_active{<target>})"
    return rows(About("Incidents' causes", text, "short", width, height, none="no incident"), Column("", expr))


def band(metric: str) -> timeseries.Panel:
    """Draw a canary's latency beside its baseline: probes as points, their judged mean as a line."""
    name = metric.upper()
    text = (
        f"Points are probes, the line is their mean as judged. Dashed: the baseline at the same load. "
        f"Shaded: slower than that, up to +{SEVERE_EFFECT:.0%}, from where on it is critical."
    )
    expected = (
        f'max by (instance, target, profile) (vllm_monitor_baseline_expected_seconds{{<probe>,metric="{metric}"}})'
    )
    ratio = f'max by (instance, target, profile) (vllm_monitor_baseline_ratio{{<probe>,metric="{metric}"}})'
    panel = lines(
        About(f"Canary {name} against the baseline", text, "s", 12, 9, none="no canary has answered"),
        Query(f"vllm_monitor_canary_last_{metric}_seconds{{<probe>}}", "probe"),
        Query(f"{ratio} * {expected}", "mean"),
        Query(expected, "baseline"),
        Query(f"{1 + SEVERE_EFFECT} * {expected}", "critical"),
    )
    return _drawn(panel)


def _drawn(panel: timeseries.Panel) -> timeseries.Panel:
    dashed = DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [6, 4]})
    looks = {
        "probe": [_colour("blue"), DynamicConfigValue("custom.drawStyle", "points")],
        "mean": [_colour("blue"), DynamicConfigValue("custom.lineWidth", 2)],
        "baseline": [_colour("green"), dashed],
        "critical": [
            _colour("red"),
            dashed,
            DynamicConfigValue("custom.fillBelowTo", "baseline"),
            DynamicConfigValue("custom.fillOpacity", 8),
        ],
    }
    for name, look in looks.items():
        panel = panel.override_by_name(name, look)
    return panel


def _colour(name: str) -> DynamicConfigValue:
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": name})
