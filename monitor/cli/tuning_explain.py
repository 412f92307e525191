"""What `monitor tuning explain` prints: all rules, or all about one of them, or about one fact."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches

from rich.table import Table

from monitor import catalog
from monitor.model import Fact, Rule
from monitor.rules.schema import complete
from monitor.settings import SettingsError, Tuning
from monitor.survey import Survey
from monitor.tuning import derived
from monitor.tuning.drift import MEASURED
from monitor.tuning.ruling import ALWAYS, Rulebook, meant, rulings

MOST_NEAR = 5


def listed(book: Rulebook, tuning: Tuning) -> Table:
    """List every rule, also what the settings leave out."""
    table = Table(box=None, padding=(0, 1))
    for head in ("rule", "fact", "wanted", ""):
        table.add_column(head, overflow="fold")
    for rule in sorted(book.rules, key=lambda rule: rule.id):
        table.add_row(rule.id, rule.ask.fact, str(rule.ask), _left_out(rule, tuning))
    return table


def explained(
    name: str, book: Rulebook, force: Rulebook, look: Callable[[], Sequence[Survey]]
) -> Iterator[tuple[str, Table]]:
    """Explain a rule, or a fact and all rules on it, as they are in force (`force`), or would be: a head, and the rest.

    Raises SettingsError if there is neither a rule nor a fact of this name.
    """
    in_force = {rule.id: rule for rule in force.rules}
    mine = [in_force.get(rule.id, rule) for rule in book.rules if name in {rule.id, rule.ask.fact}]
    if not mine and name not in catalog.FACTS:
        raise SettingsError(f"there is no rule and no fact {name!r}{_near(name, book)}")
    seen = look()
    if name in catalog.FACTS:
        yield _grid(_of_fact(name, force, seen))
    for rule in mine:
        yield _grid(_of_rule(rule, force, seen))


def _near(name: str, book: Rulebook) -> str:
    known = [*(rule.id for rule in book.rules), *catalog.FACTS]
    within = (one for one in known if name.lower() in one.lower())
    near = list(dict.fromkeys((*within, *get_close_matches(name, known))))[:MOST_NEAR]
    return f"; near: {', '.join(near)}" if near else "; monitor tuning explain lists them"


def _left_out(rule: Rule, tuning: Tuning) -> str:
    if rule.id in tuning.disable:
        return "disabled"
    return "" if complete(rule) or rule.id in tuning.override else "waits for [tuning.override]"


def _of_rule(rule: Rule, force: Rulebook, seen: Sequence[Survey]) -> Iterator[tuple[str, str]]:
    ask = rule.ask
    yield rule.id, f"{ask.fact} should be {ask if complete(rule) else 'as [tuning.override] says'} ({rule.severity})"
    yield "why", rule.why
    yield "guide", rule.guide or "none"
    yield "applies", _where(rule, force)
    for one in seen:
        yield "here", f"{one.target}: {_here(rule, force, one)}"
    yield "read", f"{ask.fact}: {catalog.FACTS[ask.fact]}{_path(ask.fact, seen)}"
    yield "fix", rule.fix
    if rule.run:
        yield "script", rule.run.strip()
    if rule.keep:
        yield "reboot", f"the script keeps it, by {'sysctl.d' if rule.keep == 'sysctl' else 'a unit'}"
    yield "verify", rule.verify or "monitor tuning check"


def _of_fact(name: str, force: Rulebook, seen: Sequence[Survey]) -> Iterator[tuple[str, str]]:
    yield name, f"{catalog.FACTS[name]}{_path(name, seen)}"
    for one in seen:
        fact = _told(one).get(name)
        value = "nobody looked at it" if fact is None else fact.value or f"unreadable: {fact.why}"
        yield "here", f"{one.target}: {value}"
    standing = force.compared.get(name) or force.reported.get(name)
    if name in force.reported or name in MEASURED:
        yield "judged", "reported: a change of it is no finding"
    elif name in catalog.DERIVED:
        yield "judged", "by rules only: what it follows from is compared"
    else:
        yield "judged", f"compared with the baseline, severity {standing.severity if standing else 'info'}"
    if standing:
        yield "why", standing.why
        yield "guide", standing.guide or "none"


def _where(rule: Rule, force: Rulebook) -> str:
    signs = force.found.get(rule.profile, ())
    when = "always" if rule.profile in ALWAYS or not signs else f"where there is {' or '.join(signs)}"
    return "; ".join((f"profile {rule.profile}, {when}", *(f"{one.fact} {one}" for one in rule.where)))


def _here(rule: Rule, force: Rulebook, one: Survey) -> str:
    if rule not in force.rules:
        return "left out: disabled, or without a wanted value"
    if rule.profile not in meant(force, _told(one)):
        return f"does not apply: nothing of the profile {rule.profile} is found"
    ruling = next((ruling for ruling in rulings(force, one.facts) if ruling.rule == rule), None)
    if ruling is None:
        return "nobody looked at what it asks"
    said = {
        "match": f"{ruling.actual}, as wanted",
        "mismatch": f"{ruling.actual}, not as wanted",
        "unreadable": f"unreadable: {ruling.why}",
        "elsewhere": "does not apply: a condition is not met",
    }
    return said[ruling.outcome]


def _path(name: str, seen: Iterable[Survey]) -> str:
    told = (fact for one in seen if (fact := _told(one).get(name)))
    path = next((fact.path for fact in told if fact.path), "")
    return f" ({path})" if path else ""


def _told(one: Survey) -> dict[str, Fact]:
    return {fact.name: fact for fact in derived.complete(one.facts)}


def _grid(rows: Iterable[tuple[str, str]]) -> tuple[str, Table]:
    (name, says), *rest = rows
    table = Table(box=None, padding=(0, 1), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in rest:
        table.add_row(label, "\n".join(_printable(line) for line in text.split("\n")))
    return f"{name}: {says}", table


def _printable(line: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in line)
