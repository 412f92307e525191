"""What the page and /api/v1/status say: one honest summary of the board."""

from collections.abc import Sequence

from monitor.alert.message import utc
from monitor.detect.strata import title
from monitor.export.board import Board
from monitor.model import Beat, Event, OpenFinding, Probe, Snapshot
from monitor.web.incident import of_target
from monitor.web.tuning import Document, near

MOST_EVENTS = 5


def status(board: Board, targets: Sequence[str]) -> Document:
    """Summarise everything that is known now; what is not known is None."""
    each = [_target(board, name) for name in targets]
    return {
        "at": board.now(),
        "at_utc": utc(board.now()),
        "verdict": _verdict(each),
        "paging": board.paging,
        "targets": each,
        "node": [_look(snapshot) for snapshot in board.node()],
    }


def _verdict(targets: Sequence[Document]) -> str:
    """Say the worst of what is true; "well" only if everything was judged."""
    said = {
        "node only": not targets,
        "findings": any(finding["severity"] != "info" for target in targets for finding in target["findings"]),
        "no heartbeat": not all(target["alive"] for target in targets),
        "nothing is stored": not all(target["stored"] for target in targets),
        "waiting": not all(target["up"] for target in targets),
        "not judged": any(judgement["unjudged"] for target in targets for judgement in target["judgements"]),
    }
    return next((word for word, true in said.items() if true), "well")


def _target(board: Board, name: str) -> Document:
    beat = board.beat(name)
    known = _facts(beat)
    return {
        "target": name,
        "alive": board.alive(name),
        "stored": board.stored(name),
        "pages": board.pages(name),
        "up": bool(beat and beat.snapshots and beat.snapshots[0].ok),  # the server's; others stand after it
        "state": beat.state if beat and board.alive(name) else None,
        **_mute(beat, board.now()),
        "model": known.get("vllm.model"),
        "version": known.get("vllm.version"),
        "baseline": beat.baseline.name if beat and beat.baseline else None,
        "incidents": of_target(beat),
        "findings": [_finding(entry) for entry in beat.open] if beat else [],
        "judgements": [
            {
                "metric": one.metric,
                "title": title(one.metric),
                "profile": one.profile,
                "ratio": one.ratio,
                "unjudged": one.unjudged,
            }
            for one in (beat.judgements if beat else ())
        ],
        "canary": [_probe(probe) for probe in board.probes(name)],
        "collectors": [_look(snapshot) for snapshot in (beat.snapshots if beat else ())],
        "events": _events(beat.events if beat else ()),
    }


def _mute(beat: Beat | None, now: float) -> Document:
    """Say until when nobody is told anything, and why; a mute that ended since the last beat holds no more."""
    until = beat.muted_until if beat else None
    if beat is None or until is None or until <= now:
        return {"muted_until": None, "muted_until_utc": None, "muted_reason": None}
    reason = next((event.text for event in beat.events if event.kind == "mute" and event.until == until), "")
    return {"muted_until": until, "muted_until_utc": utc(until), "muted_reason": reason}


def _events(events: Sequence[Event]) -> list[Document]:
    """Give what happened last, the newest first."""
    told = [event for event in events if event.kind in {"annotation", "restart"}]
    return [
        {"kind": event.kind, "at": event.at, "at_utc": utc(event.at), "text": event.text}
        for event in told[: -MOST_EVENTS - 1 : -1]
    ]


def _facts(beat: Beat | None) -> dict[str, str | None]:
    return {fact.name: fact.value for snapshot in (beat.snapshots if beat else ()) for fact in snapshot.facts}


def _finding(entry: OpenFinding) -> Document:
    finding = entry.finding
    return {
        "kind": finding.kind,
        "severity": finding.severity,
        "subject": finding.subject,
        "summary": finding.summary,
        "remedy": finding.remedy,
        "since": entry.since,
        "since_utc": utc(entry.since),
        "near": near(finding.near),
    }


def _probe(probe: Probe) -> Document:
    return {
        "profile": probe.profile,
        "at_utc": utc(probe.at),
        "outcome": probe.outcome,
        "detail": probe.detail,
        "ttft_seconds": probe.ttft,
        "tpot_seconds": probe.tpot,
        "e2e_seconds": probe.e2e,
        "warm_ratio": probe.warm_ratio,
    }


def _look(snapshot: Snapshot) -> Document:
    return {
        "source": snapshot.source,
        "ok": snapshot.ok,
        "error": snapshot.error,
        "at_utc": utc(snapshot.at),
        "took_seconds": snapshot.took,
        "readings": len(snapshot.readings),
        "facts": len(snapshot.facts),
    }
