"""What the alerts say: thresholds are read from their rules, so that a panel and a page never disagree."""

import re
from collections.abc import Iterable
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import DashboardLink, Threshold, ThresholdsMode

RULES = (Path(__file__).parents[1] / "alerts" / "monitor.rules.yml").read_text(encoding="utf-8")
RUNBOOK = "https://your.host/vllm-monitor/alerts/runbook.md"
"""Where the runbook is, to be replaced as the first lines of the rules say."""
COLOURS = {"info": "blue", "warning": "orange", "critical": "red"}

Steps = Iterable[tuple[float, str]]


def steps(alerts: Iterable[str]) -> Steps:
    """Give the number above which each alert fires, with the colour of its severity; some ask for no number.

    Raises:
        ValueError: there is no such alert.
    """
    for alert in alerts:
        rule = re.search(rf"- alert: {alert}\n(.*?)\n +severity: (\w+)\n", RULES, re.DOTALL)
        if rule is None:
            raise ValueError(f"{alert}: no such alert in alerts/monitor.rules.yml")
        if number := re.search(r" > (\d+(?:\.\d+)?)", rule[1]):
            yield float(number[1]), COLOURS[rule[2]]


def thresholds(limits: Steps) -> build.ThresholdsConfig:
    """Give thresholds: green, then each limit's colour from it on."""
    found = [Threshold(value, colour) for value, colour in sorted(limits)]
    return build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(None, "green"), *found])


def entries(alerts: Iterable[str]) -> list[Builder[DashboardLink]]:
    """Give links to the runbook's entries of alerts."""
    return [
        build.DashboardLink(f"Runbook: {alert}").url(f"{RUNBOOK}#{alert.lower()}").target_blank(True)
        for alert in alerts
    ]
