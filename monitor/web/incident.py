"""What the page and /api/v1/incidents say: findings that began together, and what may have brought them."""

from collections.abc import Sequence

from monitor import incident
from monitor.alert.message import incident_document, utc
from monitor.export.board import Board
from monitor.model import Beat
from monitor.web.tuning import Document


def incidents(board: Board, targets: Sequence[str]) -> Document:
    """Tell what is open of all targets."""
    return {
        "at": board.now(),
        "at_utc": utc(board.now()),
        "incidents": [{"target": name, **one} for name in targets for one in of_target(board.beat(name))],
    }


def of_target(beat: Beat | None) -> list[Document]:
    """Tell what is open of one target, the gravest first."""
    known = incident.incidents(beat.target, beat.open, beat.users) if beat else ()
    return [
        {
            **incident_document(one),
            "findings": [
                {"key": entry.finding.key, "summary": entry.finding.summary, "since": entry.since}
                for entry in one.findings
            ],
        }
        for one in known
    ]
