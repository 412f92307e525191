"""What a backtest says: as JSON, and as people read it."""

from typing import Any

from rich.table import Table

from monitor.alert.message import utc, worded
from monitor.backtest import Episode, Outcome, Tally
from monitor.capture import resolution
from monitor.cli.baseline import summary
from monitor.cli.tables import console
from monitor.detect.ruler import Policy
from monitor.detect.strata import title
from monitor.model import Baseline


def said(baseline: Baseline, policy: Policy, outcome: Outcome) -> dict[str, Any]:
    """Give a backtest as other programs read it."""
    return {
        "baseline": {**summary(baseline), "detects": resolution(baseline, policy)},
        "findings": [_episode_json(one) for one in outcome.episodes],
        "pages": outcome.pages,
        "every_seconds": policy.every,
        "judged": [_tally_json(one) for one in outcome.tallies],
    }


def report(baseline: Baseline, policy: Policy, outcome: Outcome) -> None:
    """Print a backtest."""
    out = console()
    kind = "Provisional baseline" if baseline.provisional else "Baseline"
    out.print(f"{kind} {baseline.name!r}, until {utc(baseline.captured_at)}. It can detect:")
    for line in resolution(baseline, policy):
        out.print(f"  {line}")
    out.print(f"Judged after it, with a probe every {policy.every:.3g} s:")
    for tally in outcome.tallies:
        out.print(f"  {_tallied(tally)}")
    if not outcome.episodes:
        out.print("Nothing would have been found.")
        return
    out.print(_table(outcome.episodes))
    informs = sum(not one.pages for one in outcome.episodes)
    also = f"; {_count(informs, 'finding')} only inform" if informs else ""
    out.print(f"Would have paged {_count(outcome.pages, 'time')}: what opens together is one page{also}.")
    out.print("Of latency only: health and settings are judged as they come, and not again.")


def _table(episodes: tuple[Episode, ...]) -> Table:
    table = Table(box=None)
    for head in ("profile", "metric", "change", "severity", "since", "opened", "closed", "what happened near"):
        table.add_column(head, justify="right" if head == "change" else "left")
    for one in episodes:
        profile, metric = _of(one)
        table.add_row(
            profile,
            title(metric),
            f"{one.change_ratio:+.0%}",
            one.finding.severity,
            utc(one.onset_at),
            utc(one.opened_at),
            "still open" if one.closed_at is None else utc(one.closed_at),
            "; ".join(worded(near) for near in one.finding.near),
        )
    return table


def _tallied(tally: Tally) -> str:
    whys = [f"{count} not: {why}" for why, count in tally.unjudged]
    transients = [f"{_count(tally.transients, 'transient')} left out"] if tally.transients else []
    judged = f"{tally.profile} {title(tally.metric)}: {_count(tally.judged, 'probe')} judged"
    return "; ".join([judged, *whys, *transients])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _of(episode: Episode) -> tuple[str, str]:
    """Give the profile and the metric that a finding is about."""
    profile, _, metric = episode.finding.subject.rpartition(" ")
    return profile, metric


def _episode_json(one: Episode) -> dict[str, Any]:
    profile, metric = _of(one)
    restarted = one.finding.evidence.get("restarted_at")
    return {
        "metric": metric,
        "profile": profile,
        "opened_at": one.opened_at,
        "onset_at": one.onset_at,
        "closed_at": one.closed_at,
        "change_ratio": one.change_ratio,
        "severity": one.finding.severity,
        "pages": one.pages,
        "near": [{"what": near.what, "at": near.at} for near in one.finding.near],
        **({"restarted_at": restarted} if restarted is not None else {}),
    }


def _tally_json(one: Tally) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "profile": one.profile,
        "probes": one.judged,
        "unjudged": dict(one.unjudged),
        "transients": one.transients,
    }
