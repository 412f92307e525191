"""Rules as data: ours prove themselves, the operator's are read or refused, the settings change them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monitor.model import Condition, Fact, Rule
from monitor.rules.load import PROFILES, every, load
from monitor.rules.schema import complete
from monitor.settings import Tuning
from monitor.settings_kinds import SettingsError
from monitor.tuning.rule import met
from monitor.tuning.ruling import rulings

OURS = every(Tuning()).rules
WRITTEN = [rule for rule in OURS if ".ignored." not in rule.id and complete(rule)]
"""Rules that say what they want; what is set in vain is asked for no value."""
RULE = """
[rule.swappiness]
fact = "vm.swappiness"
op = "at most"
want = 1
why = "Swapping."
fix = "sysctl -w vm.swappiness=0"
good = [0, 1]
bad = 60
"""

Write = Callable[[str], Tuning]


@pytest.fixture
def site(tmp_path: Path) -> Write:
    def write(text: str) -> Tuning:
        (tmp_path / "site.toml").write_text(text)
        return Tuning(rules_dir=str(tmp_path))

    return write


def mistakes(tuning: Tuning) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(tuning)
    return str(caught.value).replace(f"{tuning.rules_dir}/", "").splitlines()


def found(tuning: Tuning, name: str) -> Rule:
    (rule,) = (rule for rule in load(tuning).rules if rule.id == name)
    return rule


@pytest.mark.parametrize("rule", WRITTEN, ids=lambda rule: rule.id)
def test_ours(rule: Rule) -> None:
    """Each of our rules says why, what to do, whose advice it is and how to see it, and decides its own examples."""
    assert all((rule.why, rule.fix, rule.guide, rule.verify, rule.good, rule.bad))
    assert [True] * len(rule.good) == [met(rule.ask, value) for value in rule.good]
    assert [False] * len(rule.bad) == [met(rule.ask, value) for value in rule.bad]


def test_ours_are_of_known_profiles() -> None:
    """A rule is named after its file, which is one of the profiles that the settings know."""
    assert set(PROFILES) >= {rule.profile for rule in OURS}
    assert [rule.profile for rule in OURS] == [rule.id.partition(".")[0] for rule in OURS]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("good = [0, 1]", "good = [0, 2]", "rule.swappiness: the example '2' is not met"),
        ("bad = 60", "bad = [60, 1]", "rule.swappiness: the example '1' is met"),
        ("bad = 60", 'bad = "much"', "rule.swappiness: the example 'much': much is not a number"),
        (
            "vm.swappiness",
            "vm.swapiness",
            "rule.swappiness.fact: 'vm.swapiness' is no fact; `monitor metrics` lists them",
        ),
        ('op = "at most"', 'op = "below"', "rule.swappiness.op: Input should be 'is', 'is not', 'at least', 'at most'"),
        ('op = "at most"', 'op = "in range"', "rule.swappiness: op 'in range' takes 2 in want, not 1"),
        ('op = "at most"', 'op = "absent"', "rule.swappiness: op 'absent' takes 0 in want, not 1"),
        ('op = "at most"', 'op = "version"', "rule.swappiness: '1' is no range of versions, like '>=0.10, <0.18'"),
        ("want = 1", "want = [0, 1]", "rule.swappiness: op 'at most' takes 1 in want, not 2"),
        (
            'op = "at most"\nwant = 1',
            'op = "in range"\nwant = [0, 1, 2]',
            "rule.swappiness: op 'in range' takes 2 in want, not 3",
        ),
        ("want = 1", 'want = "little"', "rule.swappiness: want 'little': little is not a number"),
        ("want = 1", "want = { a = 1 }", "rule.swappiness.want: Input should be a valid tuple"),
        ("want = 1", "want = [0, [1]]", "rule.swappiness.want: [1] is no text and no number"),
        ("want = 1", 'severity = "grave"', "rule.swappiness.severity: Input should be 'info', 'warning' or 'critical'"),
        ('why = "Swapping."', "", "rule.swappiness.why: Field required"),
        ('why = "Swapping."', 'why = ""', "rule.swappiness.why: String should have at least 1 character"),
        ("good", "right", "rule.swappiness.right: unknown key"),
        ("bad", 'keep = "sysctl"\nbad', "rule.swappiness: keep is for what run does: there is no run"),
        (
            "bad",
            'keep = "sysctl"\nrun = "true"\nbad',
            'rule.swappiness: keep "sysctl" needs a line in run like `sysctl -w vm.swappiness=0`',
        ),
        (
            "bad",
            'where = { "kernel.swap" = "present" }\nbad',
            "rule.swappiness.where.kernel.swap: 'kernel.swap' is no fact; `monitor metrics` lists them",
        ),
        (
            "bad",
            'where = { "kernel.release" = ">=five" }\nbad',
            "rule.swappiness: '>=five' is no range of versions, like '>=0.10, <0.18'",
        ),
        ("[rule.", "[rules.", "rules: unknown key"),
    ],
)
def test_refused(site: Write, before: str, after: str, says: str) -> None:
    """Each mistake in a file is one line that begins with the file and the rule, and says what is wrong."""
    (line,) = mistakes(site(RULE.replace(before, after)))
    assert f"site.toml: {says}" == line[: len(f"site.toml: {says}")]


def test_every_mistake_is_told(site: Write) -> None:
    """Several mistakes in a file are told together, one line each."""
    assert [
        "site.toml: rule.a.why: Field required",
        "site.toml: rule.a.fix: Field required",
        "site.toml: rule.b.fact: 'b' is no fact; `monitor metrics` lists them",
    ] == mistakes(site('[rule.a]\nfact = "vm.swap"\n[rule.b]\nfact = "b"\nwhy = "x"\nfix = "x"'))


@pytest.mark.parametrize("content", [b"rule = [", b"\xff\xfe", b"[rule.a]\n[rule.a]"])
def test_no_toml(tmp_path: Path, content: bytes) -> None:
    """What is no TOML is told in one line, with its file."""
    (tmp_path / "site.toml").write_bytes(content)
    (line,) = mistakes(Tuning(rules_dir=str(tmp_path)))
    assert "site.toml: cannot be read: " == line[:27]


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    """A folder with a file's name is told."""
    (tmp_path / "site.toml").mkdir()
    (line,) = mistakes(Tuning(rules_dir=str(tmp_path)))
    assert "Is a directory" in line


def test_no_folder() -> None:
    """A folder of rules that is not there is told, and what to do."""
    line = "[tuning] rules_dir: /nowhere is no folder: create it, or correct rules_dir"
    assert [line] == mistakes(Tuning(rules_dir="/nowhere"))


def test_own_rule(site: Write) -> None:
    """The operator's rule is a rule like ours: it is named after its file, and its profile applies."""
    book = load(site(RULE))
    ruled = {one.rule.id: one.outcome for one in rulings(book, [Fact("vm.swappiness", "60")])}
    assert {"host.swappiness": "mismatch", "site.swappiness": "mismatch"} == ruled


def test_own_rule_replaces_ours(tmp_path: Path) -> None:
    """A rule of the same file and name replaces ours; the other rules of that file stay."""
    (tmp_path / "host.toml").write_text(RULE.replace("want = 1", "want = 10"))
    tuning = Tuning(rules_dir=str(tmp_path))
    assert "10" == found(tuning, "host.swappiness").ask.want[0]
    assert "performance" == found(tuning, "host.governor").ask.want[0]


def test_words(site: Write) -> None:
    """Texts, numbers, booleans and lists of them are the words of facts; a long text becomes one line."""
    text = RULE.replace('"at most"', '"one of"').replace("want = 1", 'want = [true, 0.5, "a b", 1]')
    rule = found(
        site(text.replace("[0, 1]", "[true, 1]").replace("Swapping.", " Swapping\\n  hurts. ")), "site.swappiness"
    )
    assert ("true", "0.5", "a b", "1") == rule.ask.want
    assert "Swapping hurts." == rule.why


def test_where(site: Write) -> None:
    """Where a rule applies is read as presence, a range of versions, its contrary, or values."""
    said = """where = { "vm.swap" = "present", "cpu.epp" = "absent", "kernel.release" = ">=5.13",
        "process.python" = "not <3.11", "cpu.smt" = ["on", "off"] }
bad""".replace("\n        ", " ")
    assert (
        Condition("vm.swap", "present"),
        Condition("cpu.epp", "absent"),
        Condition("kernel.release", "version", (">=5.13",)),
        Condition("process.python", "not version", ("<3.11",)),
        Condition("cpu.smt", "one of", ("on", "off")),
    ) == found(site(RULE.replace("bad", said)), "site.swappiness").where


def test_disabled() -> None:
    """A rule that is disabled is not in force, and is still known."""
    tuning = Tuning(disable=["host.swappiness"])
    assert "host.swappiness" not in {rule.id for rule in load(tuning).rules}
    assert "host.swappiness" in {rule.id for rule in every(tuning).rules}


@pytest.mark.parametrize(
    ("said", "want", "severity"),
    [
        (10, "10", "info"),
        ("10", "10", "info"),
        ("warning", "1", "warning"),
        ({"want": 10}, "10", "info"),
        ({"severity": "critical"}, "1", "critical"),
        ({"want": [10], "severity": "critical"}, "10", "critical"),
    ],
)
def test_override(said: Any, want: str, severity: str) -> None:
    """The settings say what is wanted, how grave it is, or both; what the guide would run is not for another value."""
    rule = found(Tuning(override={"host.swappiness": said}), "host.swappiness")
    assert ((want,), severity) == (rule.ask.want, rule.severity)
    assert (want == "1") is bool(rule.run)


def test_rule_that_waits(site: Write) -> None:
    """A rule that does not say what it wants is in force once the settings say it."""
    text = RULE.replace("want = 1", "")
    assert "site.swappiness" not in {rule.id for rule in load(site(text)).rules}
    tuning = site(text).model_copy(update={"override": {"site.swappiness": 5}})
    assert ("5",) == found(tuning, "site.swappiness").ask.want


@pytest.mark.parametrize(
    ("tuning", "says"),
    [
        (
            Tuning(disable=["host.swapiness"]),
            "disable: there is no rule 'host.swapiness'; `monitor tuning explain` lists",
        ),
        (Tuning(override={"swappiness": 1}), "override: there is no rule 'swappiness'; `monitor tuning explain` lists"),
        (
            Tuning(override={"host.swappiness": {"op": "is"}}),
            "override.host.swappiness: op is not known; there are severity and want",
        ),
        (
            Tuning(override={"host.swappiness": {"severity": "grave"}}),
            "override.host.swappiness: Input should be 'info', 'warning' or 'critical'",
        ),
        (
            Tuning(override={"host.swappiness": [0, 1]}),
            "override.host.swappiness: op 'at most' takes 1 in want, not 2",
        ),
        (
            Tuning(override={"host.swappiness": "low"}),
            "override.host.swappiness: want 'low': low is not a number",
        ),
    ],
)
def test_settings_refused(tuning: Tuning, says: str) -> None:
    """What the settings say of no rule, or what no rule can be, is one line that names it."""
    (line,) = mistakes(tuning)
    assert f"[tuning] {says}" == line[: len(f"[tuning] {says}")]
