"""Alerts speak of what is exported, each is explained and tried, and Prometheus and Alertmanager take the files."""

import re
from typing import get_args

import pytest
from promql import ALERTS, Rule, counted, counters, exported, groupings, queries, recorded, rules, selectors
from tools import checked

from monitor import catalog, health
from monitor.model import SEVERITIES, STATES, Kind, Reading, Snapshot

RULES_FILE = ALERTS / "monitor.rules.yml"
TESTS_FILE = ALERTS / "monitor.rules.test.yml"
MANAGER_FILE = ALERTS / "alertmanager.yml"
RULES = rules(RULES_FILE.read_text())
ALERTING = [rule for rule in RULES if rule.alerts]
KNOWN = exported() | {rule.name: recorded(rule) for rule in RULES if not rule.alerts}
NO_PAGE = {"MonitorAbsent", "MonitorDown"}
FINDINGS = "vllm_monitor_finding_active"
HELD = "finding:vllm_monitor_finding_active:held"

each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
each_alert = pytest.mark.parametrize("rule", ALERTING, ids=lambda rule: rule.name)


def known_labels(rule: Rule) -> set[str]:
    return {label for query in queries(rule) for name, _ in selectors(query) for label in KNOWN[name]}


def unknown(query: str) -> list[str]:
    """Say what a query names that nobody exports."""
    found = selectors(query)
    names = [name for name, _ in found if name not in KNOWN]
    return names + [f"{name}: {label}" for name, labels in found for label in labels - KNOWN.get(name, labels)]


@each
def test_names_exist(rule: Rule) -> None:
    """Each metric that a rule or its annotations name is exported, with the labels that they match."""
    assert [[] for _ in queries(rule)] == [unknown(query) for query in queries(rule)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("vllm_monitor_vllm_upp == 0", ["vllm_monitor_vllm_upp"]),
        ('sum by (a) (rate(vllm_monitor_vllm_up{model="m",target=~"x}"}[5m]))', ["vllm_monitor_vllm_up: model"]),
        ("vllm:num_requests_running > 0", ["vllm:num_requests_running"]),
        ("vllm_monitor_vllm_ttft_seconds", ["vllm_monitor_vllm_ttft_seconds"]),
        ('max_over_time(vllm_monitor_muted{target="or b"}[10m] offset 20m) > 1e3 unless up', []),
    ],
)
def test_names_that_do_not(query: str, expected: list[str]) -> None:
    """A misspelt metric, one of vLLM's, a summary without its part and a label of another metric are noticed."""
    assert expected == unknown(query)


@each
def test_joins_and_groups(rule: Rule) -> None:
    """A rule groups and joins by labels, and annotations show labels, that its series have."""
    shown = {label for text in rule.fields.values() for label in re.findall(r"\$labels\.(\w+)", text)}

    assert set() == ({one for query in queries(rule) for one in groupings(query)} | shown) - known_labels(rule)


@each
def test_rates_are_of_counters(rule: Rule) -> None:
    """Rates and increases are taken of what only grows."""
    assert [] == [name for query in queries(rule) for name in counted(query) if name not in counters()]


@each
def test_name(rule: Rule) -> None:
    """Alerts are called in camel case, and records level:metric:operation."""
    assert re.fullmatch(r"(?:[A-Z][a-z]+){2,}" if rule.alerts else r"[a-z_]+:vllm_monitor_[a-z_]+:[a-z0-9]+", rule.name)


@each_alert
def test_what_a_person_needs(rule: Rule) -> None:
    """Each alert has a severity, a summary, a description, its runbook entry, and a page to look at, if one is up."""
    dashboard = None if rule.name in NO_PAGE else "http://{{ $labels.instance }}/"

    assert rule.fields["severity"] in SEVERITIES
    assert all(rule.fields[name] for name in ("summary", "description"))
    assert f"alerts/runbook.md#{rule.name.lower()}" == rule.fields["runbook_url"]
    assert dashboard == rule.fields.get("dashboard")


def test_runbook() -> None:
    """The runbook has one entry for each alert, in the order of the rules, and no other."""
    headings = re.findall(r"^### (\w+)$", (ALERTS / "runbook.md").read_text(), re.MULTILINE)

    assert [rule.name for rule in ALERTING if rule.name.startswith("Monitor")] == headings[:13]
    assert sorted(rule.name for rule in ALERTING) == sorted(headings)


@each_alert
def test_verdicts_are_held(rule: Rule) -> None:
    """Alerts on findings read what holds while the monitor is down, and nothing delays that they begin or end."""
    asked = {name for name, _ in selectors(rule.fields["expr"])} & {FINDINGS, HELD}

    assert asked <= {HELD}
    assert not asked or (None, None) == (rule.fields.get("for"), rule.fields.get("keep_firing_for"))


@each
def test_shadow_holds_for_verdicts(rule: Rule) -> None:
    """What the monitor judged keeps silent in shadow; thresholds of Prometheus, and the monitor's own state, do not."""
    judged = {FINDINGS, "vllm_monitor_vllm_state"} & {
        name for name, _ in selectors(rule.fields["expr"].partition("unless")[0])
    }
    silent = r".* unless on \(job, instance\) (last_over_time\()?vllm_monitor_paging(\[15m\]\))? == 0"

    assert bool(judged) == bool(re.fullmatch(silent, rule.fields["expr"]))


def test_words_are_the_monitors() -> None:
    """Kinds, severities and states that rules ask for are those that the monitor knows."""
    text = " ".join(rule.fields["expr"] for rule in ALERTING)
    asked = {key: re.findall(rf'\b{key}=~?"([^"]*)"', text) for key in ("kind", "severity", "state")}
    words = {key: {word for value in values for word in value.split("|")} for key, values in asked.items()}

    assert set(get_args(Kind)) == words["kind"]
    assert set() == words["severity"] - set(SEVERITIES)
    assert {"asleep", "waiting", "starting"} == words["state"] & set(STATES) == words["state"]


def test_subjects_are_the_monitors() -> None:
    """Subjects of health that rules ask for by name are among those that a sleeping server's look can judge."""
    text = " ".join(rule.fields["expr"] for rule in ALERTING)
    asked = {word for one in re.findall(r'\bsubject(?:=|=~|!~)"([^"]*)"', text) for word in one.split("|")}
    asleep = Snapshot("vllm", 0.0, 0.0, (Reading(catalog.AWAKE, 0.0, 0.0), Reading(catalog.HEALTHY, 1.0, 0.0)))
    judged = health.judge(health.Health(), "llama", asleep, health.Patience(180.0, 0.0), process=False).judged

    assert {".+ answers"} == asked - {key.removeprefix("health:llama:") for key in judged}


def test_critical_not_before_warning() -> None:
    """Of two stages the critical one waits at least as long as the warning."""
    waits = {rule.name: rule.fields.get("for") for rule in ALERTING}

    assert waits["AcceleratorHotWarning"] == waits["AcceleratorHotCritical"]
    assert waits["VllmRegressionWarning"] == waits["VllmRegressionCritical"]
    assert ("5m", "30m") == (waits["MonitorDeliveryFailing"], waits["MonitorDeliveryPending"])


@each_alert
def test_both_sides_are_tried(rule: Rule) -> None:
    """The unit tests make each alert fire, and keep silent."""
    tried = re.findall(rf"alertname: {rule.name}\n +exp_alerts:( \[\])?\n", TESTS_FILE.read_text())

    assert {"", " []"} == set(tried)


def test_inhibition_names_alerts() -> None:
    """Each alert that alertmanager.yml speaks of exists."""
    named = re.findall(r'alertname=~?"([^"]+)"', MANAGER_FILE.read_text())
    words = {word for one in named for word in re.split(r"\|(?![^(]*\))", one)}

    assert set() == {word for word in words if not any(re.fullmatch(word, rule.name) for rule in ALERTING)}


def test_job_is_found() -> None:
    """The scrape configuration that we ship is of a job that the rules look for."""
    (job,) = re.findall(r"job_name: (\S+)", (ALERTS.parent / "deploy" / "prometheus.yml").read_text())
    wanted = {one for rule in ALERTING for one in re.findall(r'\{job[=!]~"([^"]+)"\}', rule.fields["expr"])}

    assert [True] == [bool(re.fullmatch(one, job)) for one in wanted]


def test_the_readme_shows_what_is_told() -> None:
    """The alert of Prometheus that the README shows is one that the unit tests expect, word for word."""
    readme = " ".join((ALERTS.parent / "README.md").read_text().split())
    shown = re.search(r"``` summary (vLLM .*?) description (.*?) ```", readme)
    assert shown

    expected = rf"description: '{re.escape(shown[2])}'\n.*\n +summary: '{re.escape(shown[1])}'\n"
    assert re.search(expected, TESTS_FILE.read_text())


def test_prometheus_takes_the_rules() -> None:
    """`promtool check rules` has nothing to say, and sees as many rules as these tests do."""
    code, said, wrong = checked("", "prometheus", "promtool", "check", "rules", str(RULES_FILE))

    assert (0, "") == (code, wrong)
    assert f"SUCCESS: {len(RULES)} rules found" in said


def test_rules_do_what_they_say() -> None:
    """`promtool test rules`: thresholds from both sides, idle, restarts, no data, labels that do not fit."""
    code, said, wrong = checked("", "prometheus", "promtool", "test", "rules", str(TESTS_FILE))

    assert (0, "") == (code, wrong), said


def test_alertmanager_takes_its_file() -> None:
    """`amtool check-config` accepts it; what only informs goes to nobody, the rest to the team."""
    configured = f"--config.file={MANAGER_FILE}"
    code, _, wrong = checked("", "prometheus-alertmanager", "amtool", "check-config", str(MANAGER_FILE))
    ways = [
        checked("", "prometheus-alertmanager", "amtool", "config", "routes", "test", configured, f"severity={name}")[1]
        for name in SEVERITIES
    ]

    assert (0, "") == (code, wrong)
    assert ["nobody\n", "team\n", "team\n"] == ways
