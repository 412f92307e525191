"""docs/tuning.md says what the code does: what people copy from it is accepted, and no kind of fact is left out."""

import re
from pathlib import Path

import click
from commands import TREES, Cli, node

from monitor import catalog
from monitor.cli.app import app
from monitor.rules.load import load
from monitor.script import shell
from monitor.settings_source import load as load_settings

PAGE = (Path(__file__).parents[1] / "docs" / "tuning.md").read_text(encoding="utf-8")
SETTINGS, RULES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_settings_and_rules_of_the_page(tmp_path: Path) -> None:
    """What is shown as settings and as rules of one's own is taken, and does what is said."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "ours.toml").write_text(RULES)
    said = SETTINGS.replace("/etc/vllm-monitor/rules", f"{tmp_path}/rules")
    (tmp_path / "monitor.toml").write_text(said)
    book = load(load_settings(tmp_path / "monitor.toml", {}).tuning)
    rules = {rule.id: rule for rule in book.rules}
    cli = Cli(tmp_path, "http://127.0.0.1:9")
    document = cli.json("tuning", "check", "--fail-on", "critical", code=1, env=node(TREES / "ascend-tuned"))
    outcomes = {one["rule"]: one["outcome"] for one in document["rules"] if one["target"] == "tiny"}

    assert "host.migration_cost" not in rules
    assert (("10",), "warning") == (rules["host.swappiness"].ask.want, rules["host.numa_balancing"].severity)
    assert (("1",), "critical") == (rules["host.zone_reclaim"].ask.want, rules["host.zone_reclaim"].severity)
    assert ("65536",) == rules["ours.nofile"].ask.want
    assert "warning" == book.compared["kernel.release"].severity
    assert ("match", "mismatch") == (outcomes["ours.overcommit"], outcomes["host.zone_reclaim"])


def test_the_settings_of_the_daemon_set() -> None:
    """The variables of the DaemonSet are settings."""
    env = dict(re.findall(r"name: (MONITOR_\w+), value: \"?([^\s\"]+)\"? }", PAGE))
    chosen = load_settings(None, {**env, "MONITOR_TARGET__VLLM__URL": "http://10.0.0.1:8000"})

    assert ("yes", Path("/host/proc")) == (chosen.target["vllm"].local, chosen.host.procfs)
    assert 4 == len(env)


def test_every_kind_of_fact_is_in_the_table() -> None:
    """For each kind of fact the page says where it can be read."""
    table = PAGE[PAGE.index("| facts |") :]
    told = set(re.findall(r"`(\w+)\.\*`", table))

    assert {name.partition(".")[0] for name in catalog.FACTS} == told


def test_commands_and_files_of_the_page() -> None:
    """Every command of the page is one, and the files are those that the script writes."""
    for words in re.findall(r"(?:^[$] |`)monitor ([a-z]+)(?: ([a-z]+)(?=[ `\n]))?", PAGE, re.MULTILINE):
        command = app.commands[words[0]]
        if isinstance(command, click.Group):
            assert words[1] in command.commands
    assert all(f"`{file}`" in PAGE for file in (shell.SYSCTL_FILE, shell.UNIT))
