"""What our rules say of servers that follow the guides or do not; and no row of the guides is without an answer."""

import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from goldens import compare
from rules_page import ROWS, Row, cited, named, page

from monitor import catalog
from monitor.model import Fact, Ruling
from monitor.rules.load import every, load
from monitor.settings import Tuning
from monitor.tuning.drift import MEASURED
from monitor.tuning.ruling import rulings

CAPTURES = Path(__file__).parent / "captures"
SERVERS = sorted((CAPTURES / "tuning").glob("*.toml"))
NOT_GIVEN = (
    *catalog.PROCESS_ARG.values(),
    *catalog.PROCESS_ARG_KEY.values(),
    *catalog.PROCESS_ENV.values(),
    *catalog.PROCESS_ENV_OPTION.values(),
)
NOTHING = {
    **dict.fromkeys(NOT_GIVEN, "unset"),
    **dict.fromkeys((*catalog.PROCESS_PACKAGE.values(), *catalog.PROCESS_WHEEL.values()), "absent"),
    **dict.fromkeys((catalog.PROCESS_ARGUMENTS_OTHERS, catalog.PROCESS_ENV_OTHERS, catalog.PROCESS_ENV_TWICE), "none"),
}
"""What is known of a process of which nothing was set."""


def made_up(path: Path) -> tuple[Fact, ...]:
    """Give a server's facts; of its process what the file leaves out is known not to be set."""
    told = tomllib.loads(path.read_text())
    values: Mapping[str, str] = {**(NOTHING if "process" in told else {}), **told.get("process", {}), **told["facts"]}
    assert catalog.FACTS.keys() >= {*values, *told.get("unreadable", {})}
    known = {name: Fact(name, value, "/made/up") for name, value in values.items()}
    unread = {name: Fact(name, None, "/made/up", why) for name, why in told.get("unreadable", {}).items()}
    return (*captured(told.get("capture", "")), *(known | unread).values())


def captured(name: str) -> tuple[Fact, ...]:
    """Give the facts of a captured process."""
    if not name:
        return ()
    lines = (CAPTURES / "process" / f"{name}.golden").read_text().splitlines()
    return tuple(Fact(**one) for line in lines if "name" in (one := json.loads(line)))


def said(told: Sequence[Ruling]) -> Iterator[str]:
    """Say how the rules fare as a person wants to read it: first what is wrong, last what cannot be told."""
    for outcome in ("mismatch", "match"):
        for one in told:
            asked, head = one.rule.ask, f"{one.outcome:<8}  {one.rule.severity:<8}  {one.rule.id:<24}"
            if one.outcome == outcome:
                wanted = f", should be {asked}\n{'':20}{one.rule.fix} [{one.rule.guide}]"
                yield f"{head}  {asked.fact} is {one.actual}{wanted if outcome == 'mismatch' else ''}\n"
    needs: dict[str, list[str]] = {}
    for one in told:
        if one.outcome == "unreadable":
            needs.setdefault(one.why, []).append(one.rule.id)
    for why, names in needs.items():
        yield f"unreadable: {why}\n{textwrap.indent(textwrap.fill(' '.join(names), 110), '    ')}\n"


@pytest.mark.parametrize("server", SERVERS, ids=lambda path: path.stem)
def test_rulings(server: Path) -> None:
    """Each server is ruled as its golden says; what is not asked of it is left out."""
    settings = Tuning(**tomllib.loads(server.read_text()).get("tuning", {}))
    compare(server.with_suffix(".golden"), "".join(said(rulings(load(settings), made_up(server)))))


BOOK = every(Tuning())


def test_rules_page() -> None:
    """docs/tuning-rules.md holds every rule, every row of the guides, and what became of each."""
    compare(Path(__file__).parents[1] / "docs" / "tuning-rules.md", page(BOOK))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_every_row_has_an_answer(row: Row) -> None:
    """A row became something that is there, or says why there is nothing to check; and it is some guide's."""
    assert row.answered
    assert cited(row.guide)
    assert [] == [name for name in row.rules if not named(name, BOOK)]
    assert BOOK.compared.keys() >= {*row.compared}
    assert BOOK.reported.keys() | MEASURED >= {*row.reported}
    assert catalog.METRICS.keys() >= {*row.metrics}


SOURCES = {rule.id: rule.guide for rule in BOOK.rules} | {
    fact: one.guide for notes in (BOOK.compared, BOOK.reported) for fact, one in notes.items()
}


@pytest.mark.parametrize(("name", "guide"), SOURCES.items())
def test_every_source_is_a_row(name: str, guide: str) -> None:
    """Whoever cites a guide is an answer to a row that has what it cites, and whoever cites none is not."""
    answers = [row for row in ROWS if is_answer(name, row)]
    of_rows = frozenset[str]().union(*(cited(row.guide) for row in ROWS))

    assert cited(guide) <= of_rows
    assert bool(cited(guide)) == any(cited(guide) & cited(row.guide) for row in answers)


def test_names_are_not_ambiguous() -> None:
    """A rule that has the name of a fact asks for that fact: `monitor accept` and `explain` take either."""
    assert [] == [rule.id for rule in BOOK.rules if rule.id in catalog.FACTS and rule.id != rule.ask.fact]


def is_answer(name: str, row: Row) -> bool:
    """Tell whether a rule or a fact is what became of a row."""
    return name in {*row.compared, *row.reported, *(rule.id for one in row.rules for rule in named(one, BOOK))}
