"""What the page and /api/v1/status say: one honest summary of the board."""

from collections.abc import Sequence
from typing import Any

from monitor.alert.message import utc
from monitor.export import Board
from monitor.model import Beat, OpenFinding, Probe, Snapshot

Document = dict[str, Any]


def status(board: Board, targets: Sequence[str]) -> Document:
    """Summarise everything that is known now; what is not known is None."""
    each = [_target(board, name) for name in targets]
    return {
        "at": board.now(),
        "at_utc": utc(board.now()),
        "verdict": _verdict(each),
        "targets": each,
        "node": [_look(snapshot) for snapshot in board.node()],
    }


def _verdict(targets: Sequence[Document]) -> str:
    """Say the worst of what is true; "well" only if everything was judged."""
    if any(finding["severity"] != "info" for target in targets for finding in target["findings"]):
        return "findings"
    if any(not target["alive"] for target in targets):
        return "no heartbeat"
    if any(not target["up"] for target in targets):
        return "waiting"
    if any(judgement["unjudged"] for target in targets for judgement in target["judgements"]):
        return "not judged"
    return "well"


def _target(board: Board, name: str) -> Document:
    beat = board.beat(name)
    known = _facts(beat)
    return {
        "target": name,
        "alive": board.alive(name),
        "up": bool(beat and beat.snapshots and all(snapshot.ok for snapshot in beat.snapshots)),
        "model": known.get("vllm.model"),
        "version": known.get("vllm.version"),
        "baseline": beat.baseline.name if beat and beat.baseline else None,
        "findings": [_finding(entry) for entry in beat.open] if beat else [],
        "judgements": [
            {"metric": one.metric, "profile": one.profile, "ratio": one.ratio, "unjudged": one.unjudged}
            for one in (beat.judgements if beat else ())
        ],
        "canary": [_probe(probe) for probe in board.probes(name)],
        "collectors": [_look(snapshot) for snapshot in (beat.snapshots if beat else ())],
    }


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
