"""docs/tuning-rules.md, made from the rules and from the rows of the guides."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor import catalog
from monitor.model import Rule
from monitor.rules.schema import complete
from monitor.tuning.drift import MEASURED
from monitor.tuning.ruling import Rulebook, Standing

DATA = tomllib.loads((Path(__file__).parent / "guides.toml").read_text())
GUIDES: dict[str, str] = DATA["guides"]
_CITED = re.compile(rf"({'|'.join(sorted(map(re.escape, GUIDES), key=len, reverse=True))})(?![\w-])( [\d.]+)?")
_IGNORED = ".ignored."

HEAD = """\
# Tuning rules

Made by `make goldens` from `monitor/rules/*.toml` and `tests/guides.toml`, which has every row of the guides: a test
fails when one is without an answer, or a rule cites what none has. `monitor tuning explain RULE` says more.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the guides: what it speaks of, whose it is, and what became of it."""

    what: str
    guide: str
    rules: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    finding: str = ""
    nothing: str = ""

    @property
    def answered(self) -> bool:
        """Whether anything became of it, or it says why nothing did."""
        return any((self.rules, self.compared, self.reported, self.metrics, self.finding, self.nothing))


def row(told: dict[str, Any]) -> Row:
    """Read a row; raises TypeError for a key that no row has."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}
    return Row(**values)


ROWS = tuple(row(dict(told)) for told in DATA["row"])


def cited(guide: str) -> frozenset[str]:
    """Give what a text cites of the guides, as in "ascend 5.2"; other sources are none of them."""
    parts = (_CITED.match(part.strip()) for part in re.split(r"[,;]", guide))
    return frozenset(match[0] for match in parts if match)


def named(pattern: str, book: Rulebook) -> tuple[Rule, ...]:
    """Give the rules that a row means."""
    return tuple(
        rule for rule in book.rules if rule.id == pattern or (pattern[-1] == "*" and rule.id.startswith(pattern[:-1]))
    )


def page(book: Rulebook) -> str:
    """Make the page."""
    written = [rule for rule in book.rules if _IGNORED not in rule.id]
    ignored = [rule for rule in book.rules if _IGNORED in rule.id]
    judged = [one for fact, one in book.reported.items() if fact not in MEASURED]
    parts = (
        (HEAD,),
        ("## The guides\n", *_table("short name", "guide", rows=GUIDES.items())),
        (
            "## Every row of the guides\n",
            *_table("row", "guide", "becomes", "read from", rows=(_row(one, book) for one in ROWS)),
        ),
        (
            "## Rules\n",
            *_table("rule", "fact", "wanted", "where", "severity", "source", "seen by hand", rows=map(_rule, written)),
        ),
        (
            "## Set, but ignored\n",
            *_table(
                "setting", "why, where it is set", "source", rows=((_code(r.ask.fact), r.why, r.guide) for r in ignored)
            ),
        ),
        (
            "## Compared with the baseline\n",
            *_table("fact", "severity", "why", "source", rows=_notes(book.compared.values())),
        ),
        (
            "## Reported only\n",
            *_table("fact", "why", "source", rows=((_code(r.fact), r.why, r.guide) for r in judged)),
        ),
    )
    return "\n".join(line for part in parts for line in (*part, ""))


def _row(one: Row, book: Rulebook) -> tuple[str, ...]:
    becomes = [
        *(f"rule {_code(name)}" for name in one.rules),
        *(f"compared {_code(fact)}" for fact in one.compared),
        *(f"reported {_code(fact)}" for fact in one.reported),
        *(f"metric {_code(metric)}" for metric in one.metrics),
        *([f"finding {one.finding}"] if one.finding else []),
        *([f"nothing: {one.nothing}"] if one.nothing else []),
    ]
    facts = dict.fromkeys(
        [
            *(rule.ask.fact for name in one.rules if name[-1] != "*" for rule in named(name, book)),
            *one.compared,
            *one.reported,
        ]
    )
    return (
        one.what,
        one.guide,
        "<br>".join(becomes),
        "<br>".join(f"{_code(fact)}: {catalog.FACTS[fact]}" for fact in facts),
    )


def _rule(rule: Rule) -> tuple[str, ...]:
    wanted = str(rule.ask) if complete(rule) else "what `[tuning.override]` says"
    where = "<br>".join(f"{_code(one.fact)} {str(one).removeprefix(f'{one.op} ')}" for one in rule.where)
    return _code(rule.id), _code(rule.ask.fact), wanted, where, rule.severity, rule.guide, rule.verify


def _notes(standings: Iterable[Standing]) -> Iterator[tuple[str, ...]]:
    for one in standings:
        yield _code(one.fact), one.severity, one.why, one.guide


def _code(text: str) -> str:
    return f"`{text}`"


def _table(*heads: str, rows: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for cells in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
