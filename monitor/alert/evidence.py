"""What users' own figures say beside an incident, in words and as figures."""

from typing import Any

from monitor.derive import FIGURES
from monitor.detect.strata import figure, title, unit
from monitor.model import Incident, Standing

FELT = ("users_ttft", "users_tpot", "users_e2e")
"""Users' figures that are named: what users feel. The wait in the queue is in TTFT."""
SHOWS = 0.10
"""From how much more on they show a slowness: below, other prompts may do that."""


def document(one: Standing) -> dict[str, Any]:
    """Tell one figure: typical of the last `seconds`, and of the baseline; `metric` is where it comes from."""
    more = "" if one.change is None else f" ({one.change:+.0%})"
    return {
        "figure": title(one.metric),
        "metric": FIGURES[one.metric],
        "unit": unit(one.metric),
        "now": one.now,
        "baseline": one.then,
        "change_ratio": one.change,
        "seconds": one.seconds,
        "said": f"{figure(one.metric, one.now)}, baseline {figure(one.metric, one.then)}{more}",
    }


def said(incident: Incident) -> str:
    """Say by what users' requests show it, or that they do not; empty where that is not known."""
    lost = any(entry.finding.subject == "capacity" for entry in incident.findings)
    names = FELT[1:] if lost else FELT  # capacity is lost by users' TTFT, which is said already
    known = [(one.change, title(one.metric).removeprefix("users' ")) for one in incident.users if one.metric in names]
    changes = sorted(((by, name) for by, name in known if by is not None), reverse=True)
    worse = [f"{name} {by:+.0%}" for by, name in changes if by >= SHOWS]
    if worse:
        return f"users' {', '.join(worse)}, too"
    return f"users' requests do not show it ({changes[0][1]} {changes[0][0]:+.0%})" if changes and not lost else ""
