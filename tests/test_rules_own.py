"""Rule files of the operator's own: when they apply, what they may keep, what an override leaves of a rule."""

from pathlib import Path

import pytest

from monitor.model import Fact
from monitor.rules.load import every, load
from monitor.settings import SettingsError, Tuning
from monitor.tuning.ruling import meant

RULE = '[rule.swap]\nfact = "vm.swappiness"\nwant = 0\nwhy = "w"\nfix = "f"\n'
CHIPS = 'found = ["sophgo.devices"]\n'


def profiles(folder: Path, *chosen: str, facts: tuple[Fact, ...] = ()) -> frozenset[str]:
    book = load(Tuning.model_validate({"rules_dir": str(folder), "profiles": list(chosen)}))
    return meant(book, {fact.name: fact for fact in facts})


@pytest.mark.parametrize(
    ("text", "chosen", "applies"),
    [
        (RULE, ["auto"], True),
        (RULE, ["host"], True),
        (RULE, [], True),
        (CHIPS + RULE, ["auto"], False),
        (CHIPS + RULE, ["host"], True),
    ],
)
def test_when_an_own_file_applies(tmp_path: Path, text: str, chosen: list[str], applies: bool) -> None:  # noqa: FBT001 - a case
    """Whatever is chosen of ours; where it names what must be found, and that is left to the monitor, only then."""
    (tmp_path / "team.toml").write_text(text)

    assert applies is ("team" in profiles(tmp_path, *chosen))
    assert "team" in profiles(tmp_path, *chosen, facts=(Fact("sophgo.devices", "SG2260"),))


def test_a_file_named_like_ours(tmp_path: Path) -> None:
    """It adds to our set, which applies as before."""
    before = load(Tuning())
    (tmp_path / "ascend.toml").write_text(RULE)
    after = load(Tuning(rules_dir=str(tmp_path)))

    assert before.found["ascend"] == after.found["ascend"]
    assert {"ascend.swap"} == {rule.id for rule in after.rules} - {rule.id for rule in before.rules}
    assert before.chosen == after.chosen


def test_every_rule_is_known(tmp_path: Path) -> None:
    """What is disabled, or waits for the settings to want something, is a rule all the same."""
    (tmp_path / "team.toml").write_text(RULE.replace("want = 0\n", ""))
    tuning = Tuning(rules_dir=str(tmp_path), disable=["host.swappiness"])
    left_out = {rule.id for rule in every(tuning).rules} - {rule.id for rule in load(tuning).rules}

    assert {"host.swappiness", "team.swap"} <= left_out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ('keep = "sysctl"', "keep is for what run does: there is no run"),
        ('keep = "unit"', "keep is for what run does: there is no run"),
        (
            'keep = "sysctl"\nrun = "echo 0 >/proc/sys/vm/swappiness"',
            'keep "sysctl" needs a line in run like `sysctl -w vm.swappiness=0`',
        ),
        (
            'keep = "sysctl"\nrun = "sysctl -w vm.x=$(id)"',
            'keep "sysctl" needs a line in run like `sysctl -w vm.swappiness=0`',
        ),
    ],
)
def test_what_cannot_be_kept(tmp_path: Path, more: str, says: str) -> None:
    """What is to last must be something that is run, and for sysctl.d a setting of sysctl."""
    (tmp_path / "team.toml").write_text(f"{RULE}{more}\n")
    with pytest.raises(SettingsError) as caught:
        load(Tuning(rules_dir=str(tmp_path)))

    assert f"{tmp_path}/team.toml: rule.swap: {says}" == str(caught.value)


def test_an_override_drops_the_commands_of_the_guide(tmp_path: Path) -> None:
    """They bring about what the guide wants; the same value, or another severity, leaves them."""
    (tmp_path / "team.toml").write_text(f'{RULE}run = "sysctl -w vm.swappiness=0"\nkeep = "sysctl"\n')
    made = {}
    for said in (0, "warning", 7):
        book = load(Tuning(rules_dir=str(tmp_path), override={"team.swap": said}))
        (made[said],) = (rule for rule in book.rules if rule.id == "team.swap")

    kept = ("f", "sysctl -w vm.swappiness=0", "sysctl")
    assert [kept, kept] == [(made[one].fix, made[one].run, made[one].keep) for one in (0, "warning")]
    assert ("f (that is for 0; the settings want 7)", "", "") == (made[7].fix, made[7].run, made[7].keep)
