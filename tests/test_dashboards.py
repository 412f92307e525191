"""Dashboards ask for what is exported, explain themselves, fit the screen, and agree with the alerts."""

import re
from pathlib import Path
from typing import Any

import pytest
from boards import BOARDS, FILLED, FOLDER, Asked, asked, panels
from goldens import compare
from promql import ALERTS, counted, counters, exported, groupings, rules, selectors

from dashboards.build import made
from monitor.detect.verdict import FLOOR, SEVERE_EFFECT
from monitor.model import STATES

RULES = {rule.name: rule for rule in rules((ALERTS / "monitor.rules.yml").read_text())}
KNOWN = exported()
OWN_LIMITS = {FLOOR, SEVERE_EFFECT, 1}
"""Thresholds that are no alert's: the judge's, and one of what there should be none of."""

each = pytest.mark.parametrize("board", BOARDS)
each_query = pytest.mark.parametrize("query", asked(), ids=str)


def limits(panel: dict[str, Any]) -> dict[float, str]:
    """Give a panel's thresholds, each with its colour."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return {step["value"]: step["color"] for step in steps if step["value"] is not None}


def runbook(panel: dict[str, Any]) -> list[str]:
    """Name the alerts to whose entries in the runbook a panel links."""
    return [link["title"].removeprefix("Runbook: ") for link in panel.get("links", [])]


@pytest.mark.parametrize("path", made(), ids=lambda path: path.stem)
def test_files_are_what_is_built(path: Path) -> None:
    """Each JSON file is what `make dashboards` writes, and writes again."""
    compare(path, made()[path])


def test_no_other_files() -> None:
    """What is no longer built is no longer there."""
    assert {path.name for path in made()} == {path.name for path in FOLDER.glob("*.json")}


@each_query
def test_names_exist(query: Asked) -> None:
    """Each metric that is asked for is exported, with the labels that are matched."""
    bare = re.sub(r'\{__name__=~"([^"]*)",', lambda names: f"{names[1].partition('|')[0]}{{", query.expr)
    found = selectors(bare)

    assert [] == [name for name, _ in found if name not in KNOWN]
    assert [] == [(name, label) for name, labels in found for label in labels - KNOWN[name]]


@each_query
def test_groups_and_rates(query: Asked) -> None:
    """Queries group and join by labels that their series have, and take rates of what only grows."""
    found = {label for name, _ in selectors(query.expr) for label in KNOWN.get(name, set())}
    added = {"le"} if "_bucket" in query.expr else set()

    assert set() == groupings(query.expr) - found - added
    assert [] == [name for name in counted(query.expr) if name not in counters()]


@each
def test_rates_follow_the_step(board: str) -> None:
    """Rates are over $__rate_interval: a window of its own would miss scrapes, or the time between two steps."""
    text = " ".join(target["expr"] for panel in panels(board) for target in panel["targets"])

    assert {"$__rate_interval"} >= set(re.findall(r"\brate\([^[]*\[([^\]]*)\]", text))


@each
def test_all_variables_are_chosen(board: str) -> None:
    """A query uses only variables that its dashboard has, and none is there that nothing uses."""
    text = str([BOARDS[board][part] for part in ("panels", "annotations", "templating")])
    own = {variable["name"] for variable in BOARDS[board]["templating"]["list"]}

    assert own == set(re.findall(r"\$\{?([a-z]+)", text)) - {"datasource:queryparam"}
    assert {f"${name}" for name in own - {"datasource"}} <= set(FILLED)


@each
def test_panels_explain_themselves(board: str) -> None:
    """Each panel has a title of its own, a description, a unit, words for having nothing, and the chosen datasource."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    shown = panels(board)

    for panel in shown:
        said = panel["title"], panel["description"], panel["fieldConfig"]["defaults"]["noValue"]
        assert all(said), panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert [chosen] * len(panel["targets"]) == [target["datasource"] for target in panel["targets"]]
        assert chosen == panel["datasource"]
    assert len({panel["title"] for panel in shown}) == len(shown)


@each
def test_layout(board: str) -> None:
    """Ids are unique, panels fill their lines of 24 and do not overlap."""
    ids = [panel["id"] for panel in BOARDS[board]["panels"]]
    places = [panel["gridPos"] for panel in BOARDS[board]["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    lines = [y for _, y in cells]

    assert sorted(set(ids)) == sorted(ids)
    assert sorted(set(cells)) == sorted(cells)
    assert {24} == {lines.count(y) for y in lines}
    assert set(range(max(lines) + 1)) == set(lines)


def test_addresses_are_stable() -> None:
    """Links and bookmarks name a dashboard by its uid, which is its file's name; all have the tag that links them."""
    assert {name: f"vllm-monitor-{name}" for name in BOARDS} == {name: one["uid"] for name, one in BOARDS.items()}
    assert [["vllm-monitor"]] * len(BOARDS) == [board["tags"] for board in BOARDS.values()]


@each
def test_links_lead_somewhere(board: str) -> None:
    """Dashboards link to each other by their tag, to the runbook's entries, and cells to a dashboard or the page."""
    others, book = BOARDS[board]["links"]
    headings = {heading.lower() for heading in re.findall(r"(?m)^### (\w+)$", (ALERTS / "runbook.md").read_text())}
    urls = re.findall(r"'url': '([^']*)'", str(BOARDS[board]["panels"]))
    entries = {url.partition("#")[2] for url in urls if url.startswith(book["url"])}
    others_named = {url.partition("?")[0].removeprefix("/d/") for url in urls if url.startswith("/d/")}

    assert (["vllm-monitor"], True, True) == (others["tags"], others["includeVars"], others["keepTime"])
    assert book["url"].endswith("/alerts/runbook.md")
    assert set() == entries - headings
    assert others_named <= {one["uid"] for one in BOARDS.values()}
    assert {"http://${__data.fields.instance}/"} >= {u for u in urls if not u.startswith(("/d/", book["url"]))}


@each
def test_thresholds_are_the_alerts(board: str) -> None:
    """A panel that links to alerts has exactly their thresholds, in the colour of their severity."""
    colours = {"info": "blue", "warning": "orange", "critical": "red"}
    for panel in panels(board):
        wanted: dict[float, str] = {}
        for name in runbook(panel):
            number = re.search(r" > ([\d.]+)", RULES[name].fields["expr"])
            wanted |= {float(number[1]): colours[RULES[name].fields["severity"]]} if number else {}
        own = {value: colour for value, colour in limits(panel).items() if value not in OWN_LIMITS or value in wanted}

        assert wanted == own, panel["title"]


def test_alerts_with_a_number_are_drawn() -> None:
    """Each alert that compares a gauge with a number of its own is a line in some panel."""
    drawn = {name for board in BOARDS for panel in panels(board) for name in runbook(panel)}
    numbers = {name for name, rule in RULES.items() if rule.alerts and re.search(r" > [\d.]+", rule.fields["expr"])}
    elsewhere = {"MonitorCollectorSilent", "MonitorCanarySilent", "MonitorDeliveryFailing", "VllmStalled"}

    assert elsewhere == numbers - drawn


def test_every_state_has_a_word() -> None:
    """The states that the monitor knows are those that are shown."""
    (panel,) = (panel for panel in panels("overview") if panel["title"] == "States")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]

    assert list(STATES) == [one["text"] for one in mapping["options"].values()]


@each
def test_not_too_often(board: str) -> None:
    """A dashboard asks Prometheus again once a minute, and looks at hours, not weeks."""
    assert ("1m", "now-6h") == (BOARDS[board]["refresh"], BOARDS[board]["time"]["from"])
