"""Incidents: what belongs together, and what is blamed first."""

from itertools import pairwise
from typing import Any

import pytest
from examples import AT, finding
from hypothesis import given
from hypothesis import strategies as st

from monitor.incident import HALF_AFTER, HALF_BEFORE, MOST_CAUSES, MOST_NAMED, TOGETHER, incidents
from monitor.model import SEVERITIES, Cause, Incident, Near, OpenFinding

SWAP = Near("vm.swappiness 0 → 60", AT - 60, "vm.swappiness")
RESTART = Near("restart", AT - 60, "restart")


def slow(name: str = "short TTFT", since: float = AT, **changes: Any) -> OpenFinding:
    """Give a regression that is open."""
    return OpenFinding(finding(name, evidence={"effect": f"{name} +50%"}, **changes), since, since + 180)


def ill(subject: str = "saturated", since: float = AT, **changes: Any) -> OpenFinding:
    """Give a trouble of health that is open."""
    parts = {"kind": "health", "severity": "critical", "subject": subject, "summary": f"llama: it is {subject}"}
    return OpenFinding(finding(subject, **{**parts, **changes}), since, since + 180)


def setting(fact: str = "vm.swappiness", since: float | None = AT - 60, **changes: Any) -> OpenFinding:
    """Give a setting that is not as in the baseline."""
    evidence = {"change": f"{fact} 0 → 60"}
    parts = {"kind": "tuning", "severity": "info", "subject": fact, "evidence": evidence, "remedy": f"mend {fact}"}
    return OpenFinding(finding(fact, onset=since, **{**parts, **changes}), AT, AT)


def only(*entries: OpenFinding) -> Incident:
    (incident,) = incidents("llama", entries)
    return incident


def blamed(*entries: OpenFinding) -> list[str]:
    return [cause.of for cause in only(*entries).causes]


def keys(incident: Incident) -> list[str]:
    return [entry.finding.key for entry in incident.findings]


def test_what_begins_together_is_one_incident() -> None:
    """Findings that began together are one incident: as old as the first, as grave as the gravest, in one title."""
    tpot = slow("short TPOT", AT - 30, severity="critical", near=(SWAP,))

    assert Incident(
        key=f"incident:llama:{AT - 30:.0f}",
        target="llama",
        title="llama: short TPOT +50%, short TTFT +50%",
        onset=AT - 30,
        severity="critical",
        findings=(tpot, slow(near=(SWAP,))),
        causes=(Cause("vm.swappiness 0 → 60", "vm.swappiness", AT - 60, 0.97, "mend vm.swappiness"),),
    ) == only(slow(near=(SWAP,)), setting(), tpot)


@pytest.mark.parametrize(("gap", "found"), [(TOGETHER, [["a", "b"]]), (TOGETHER + 1, [["a"], ["b"]])])
def test_what_begins_apart_is_two_incidents(gap: float, found: list[list[str]]) -> None:
    """Ten minutes between two onsets are one incident, more are two with keys of their own."""
    told = incidents("llama", [slow("b", AT + gap), slow("a", AT)])

    assert found == [keys(one) for one in told]
    assert len(found) == len({one.key for one in told})


def test_onsets_are_chained() -> None:
    """Each finding that begins soon after the one before belongs to it, however long ago the first began."""
    chain = [slow(str(number), AT + number * TOGETHER) for number in range(4)]

    assert ["0", "1", "2", "3"] == keys(only(*reversed(chain)))


def test_the_gravest_incident_comes_first() -> None:
    """Of two incidents the graver is told first, of two as grave the older."""
    entries = [slow("old", AT - 1e4), slow("older", AT - 2e4), slow("grave", AT, severity="critical")]

    assert [["grave"], ["older"], ["old"]] == [keys(one) for one in incidents("llama", entries)]


def test_what_only_informs_is_no_incident() -> None:
    """Settings, and what only informs, are no incident; beside something graver what informs belongs to it."""
    mild = slow("mild", severity="info")

    assert () == incidents("llama", [setting(), setting("x", severity="critical"), mild])
    assert ["grave", "mild"] == keys(only(mild, slow("grave", AT - 1)))


def test_a_title_names_a_few() -> None:
    """Of many findings the gravest are named, and how many there are besides."""
    entries = [slow(str(number), AT + number) for number in range(MOST_NAMED + 2)]

    assert "llama: 4 +50%, 0 +50%, 1 +50% and 2 more" == only(*entries[:-1], slow("4", severity="critical")).title


def test_no_cause() -> None:
    """Where nothing happened near it, an incident has no cause."""
    assert () == only(slow()).causes


def test_causes_are_ranked_by_closeness() -> None:
    """What is nearer in time is blamed first, and what came before rather than what came as long after."""
    near = [Near(str(gap), AT + gap, str(gap)) for gap in (-1800, 300, -300, -60, 90)]

    assert ["-60", "-300", "90", "300", "-1800"] == blamed(slow(near=tuple(near)))


def test_causes_alike_in_time_are_ranked_by_severity() -> None:
    """Of what one look saw the setting that is found wrong is first, the gravest; the rest as it was recorded."""
    near = tuple(
        Near(name, AT - 60, name) for name in ("restart", "vllm.version", "x", "cpu.governor", "vm.swappiness")
    )
    rule = setting("host.governor", severity="critical", evidence={"fact": "cpu.governor"}, remedy="set performance")
    swap = setting("vm.swappiness", severity="warning")
    incident = only(slow(near=near), rule, swap, setting("x"))

    assert [
        ("cpu.governor", "set performance"),
        ("vm.swappiness", "mend vm.swappiness"),
        ("restart", ""),
        ("vllm.version", ""),
        ("x", "mend x"),
    ] == [(cause.of, cause.fix) for cause in incident.causes]


def test_a_rule_says_how_to_mend() -> None:
    """Of a fact of which a rule and the baseline say that it is wrong, the rule's fix is told, also of long ago."""
    rule = setting("host.swappiness", evidence={"rule": "host.swappiness", "fact": "vm.swappiness"}, remedy="sysctl")
    found = [only(slow(near=near), rule, setting(since=None)).causes for near in ((SWAP,), ())]

    assert [[("vm.swappiness 0 → 60", "sysctl")]] * 2 == [[(one.what, one.fix) for one in causes] for causes in found]


@pytest.mark.parametrize(
    ("gap", "weight"),
    [(0, 1.0), (-HALF_BEFORE, 0.5), (-2 * HALF_BEFORE, 0.25), (HALF_AFTER, 0.5), (2 * HALF_AFTER, 0.25), (-1e9, 0.0)],
)
def test_weights(gap: float, weight: float) -> None:
    """A weight halves each ten minutes before the onset, and each two minutes after it."""
    assert [weight] == [cause.weight for cause in only(slow(near=(Near("x", AT + gap, "x"),))).causes]


def test_a_cause_is_near_any_of_the_findings() -> None:
    """What is near several findings is told once, and weighs as near as the nearest has it."""
    late = Near("late", AT + 300, "late")
    (cause,) = only(slow("a", near=(late,)), slow("b", AT + 300, near=(late,))).causes

    assert ("late", 1.0) == (cause.of, cause.weight)


def test_what_came_of_a_slowness_is_not_explained() -> None:
    """That a slow server died later, which is said, weighs nothing: what happened then did not make it slow."""
    noted = Near("annotation: hi", AT + 115, "annotation")
    told = only(slow(near=(noted,)), ill("gone", AT + 120, near=(noted,)))

    assert "llama: short TTFT +50%, later it is gone" == told.title
    assert [0.51] == [cause.weight for cause in told.causes]


def test_settings_that_changed_long_ago_come_last() -> None:
    """What changed days before, or nobody saw when, may still be the cause, the newest first; what came later not."""
    entries = [setting("unseen", None), setting("older", AT - 2e6), setting("old", AT - 1e6), setting("later", AT + 1)]

    assert ["restart", "old", "older", "unseen"] == blamed(slow(near=(RESTART,)), *entries)
    assert [] == blamed(ill("unreachable"), *entries)


def test_few_causes_are_told() -> None:
    """Of many causes the likeliest are told."""
    near = tuple(Near(str(gap), AT - 100 * gap, str(gap)) for gap in range(MOST_CAUSES + 3))

    assert ["0", "1", "2", "3", "4"] == blamed(slow(near=near))


@pytest.mark.parametrize("subject", ["hung", "instances", "saturated"])
def test_what_makes_a_server_slow_is_a_cause(subject: str) -> None:
    """A trouble that makes a server slow and did not begin after it is its cause, with what to do about it."""
    incident = only(slow(since=AT + 10), ill(subject, AT, remedy="send it less"))

    assert ("llama: short TTFT +50%", "critical") == (incident.title, incident.severity)
    assert (Cause(f"it is {subject}", subject, AT, 0.99, "send it less"),) == incident.causes


@pytest.mark.parametrize(
    ("subject", "since", "said"),
    [
        ("unreachable", AT - 60, "it is unreachable, short TTFT +50%"),
        ("saturated", AT + HALF_AFTER + 1, "short TTFT +50%, later it is saturated"),
    ],
)
def test_what_does_not_make_a_server_slow_is_no_cause(subject: str, since: float, said: str) -> None:
    """A server that is gone, or in trouble only after it was slow, is one more thing that is wrong."""
    incident = only(slow(), ill(subject, since))

    assert (f"llama: {said}", ()) == (incident.title, incident.causes)


def test_a_trouble_of_health_alone() -> None:
    """A server in trouble is an incident of its own, and what happened near it its cause."""
    incident = only(ill("unreachable", near=(RESTART,), summary="llama: it is unreachable; is it started?"))

    assert ("llama: it is unreachable", ["restart"]) == (incident.title, [cause.of for cause in incident.causes])


ENTRIES = st.lists(
    st.builds(
        lambda number, kind, severity, since: OpenFinding(
            finding(f"{kind}:{number}", kind=kind, severity=severity), since, since
        ),
        st.integers(0, 1000),
        st.sampled_from(["regression", "health", "tuning"]),
        st.sampled_from(SEVERITIES),
        st.floats(AT, AT + 20 * TOGETHER),
    ),
    unique_by=lambda entry: entry.finding.key,
    max_size=12,
)


@given(ENTRIES)
def test_every_trouble_is_in_exactly_one_incident(entries: list[OpenFinding]) -> None:
    """Whatever is open: each regression and trouble that is told is in one incident, and those that begin within ten
    minutes of each other are in the same; settings are in none, and the order in which things are found is nothing.
    """
    told = incidents("llama", entries)
    members = [entry for incident in told for entry in incident.findings]
    troubles = [entry for entry in entries if entry.finding.kind != "tuning"]

    assert len(members) == len({entry.finding.key for entry in members})
    assert {one.finding.key for one in troubles if one.finding.severity != "info"} <= {
        entry.finding.key for entry in members
    }
    assert all(entry in troubles for entry in members)
    assert all(
        later.since - entry.since <= TOGETHER for incident in told for entry, later in pairwise(incident.findings)
    )
    onsets = sorted((incident.findings[0].since, incident.findings[-1].since) for incident in told)
    assert all(later[0] - earlier[1] > TOGETHER for earlier, later in pairwise(onsets))
    assert told == incidents("llama", reversed(entries))
