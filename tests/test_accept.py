"""Accepting: a deliberate change is no finding any more, over restarts, until the setting is something else again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from commands import Cli
from examples import AT, baseline, finding, opened
from serving import simulated
from world import World, world

from monitor import catalog
from monitor.alert.message import utc
from monitor.model import Beat, Fact
from monitor.node import NODE
from monitor.store.store import Store

SWAPPINESS = catalog.SWAPPINESS_FACT
WRONG = {"host.swappiness", SWAPPINESS}
"""What is found of a swappiness that the rule does not want and that the baseline did not have."""


def swappiness(value: str) -> Fact:
    return Fact(SWAPPINESS, value, "/proc/sys/vm/swappiness")


async def beats(here: World, value: str, count: int = 2) -> Beat:
    """Let the setting have a value, and beat."""
    here.facts[:] = [swappiness(value)]
    for _ in range(count):
        beat = await here.beat()
    return beat


def found(beat: Beat) -> set[str]:
    return {entry.finding.subject for entry in beat.open if entry.finding.kind == "tuning"}


async def test_a_deliberate_change(tmp_path: Path) -> None:
    """A setting that changes is found within two beats, with both values and the moment; once it is accepted nothing
    is found of that value within two beats, by no later process either; another value is found, and undone is undone.
    """
    db = tmp_path / "monitor.db"
    async with simulated() as server:
        cli = Cli(tmp_path, server.url)
        async with world(db, server.url) as here:
            await beats(here, "0", 1)
            await here.capture("good", requests=25)
            as_before = await beats(here, "0")
            changed = await beats(here, "60")
            history = here.store.history.past(NODE).recent
            said = cli.run("accept", SWAPPINESS).stdout
            accepted = await beats(here, "60")
            shown = here.shown(catalog.FACT_ACCEPTED)
        async with world(db, server.url) as here:
            restarted = await beats(here, "60", 3)
            third = await beats(here, "35")
            back = await beats(here, "60")
            cli.run("accept", "host.swappiness", "--undo")
            undone = await beats(here, "60")

    assert [set(), WRONG] == [found(as_before), found(changed)]
    assert [(SWAPPINESS, "0", "60")] == [(one.fact, one.before, one.after) for one in history]
    assert {history[0].at} == {entry.finding.onset for entry in changed.open}
    assert said.endswith(f" UTC: {SWAPPINESS} 60 (the node)\n")
    assert [set(), {(("fact", SWAPPINESS),)}] == [found(accepted), set(shown)]
    assert ["60"] == [one.value for one in accepted.accepted]
    assert [set(), WRONG, set(), WRONG] == [found(beat) for beat in (restarted, third, back, undone)]


async def test_an_unusable_store_forgets_nothing_that_was_accepted(tmp_path: Path) -> None:
    """With the store gone wrong what was accepted stays so: nothing that is on purpose is found again."""
    db = tmp_path / "monitor.db"
    async with simulated() as server, world(db, server.url) as here:
        await beats(here, "60")
        Cli(tmp_path, server.url).run("accept", SWAPPINESS)
        quiet = await beats(here, "60")
        with closing(sqlite3.connect(db, isolation_level=None)) as direct:
            direct.execute("ALTER TABLE event RENAME TO gone")
        still = [await here.heart.beat() for _ in range(3)][-1]

    assert [set(), set()] == [found(quiet), found(still)]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Give a command line whose store knows of a node, of its target, and of one that is watched no longer."""
    made = Cli(tmp_path, "http://127.0.0.1:9")
    store = Store(made.store_url)
    for scope in ("tiny", "qwen"):
        store.history.note_facts(scope, [Fact(catalog.VERSION, "0.33.0"), Fact(catalog.MODEL, None)], AT)
    store.history.note_facts(NODE, [swappiness("60"), Fact(catalog.GOVERNOR, "powersave")], AT)
    store.close()
    return made


def accepted(cli: Cli) -> set[tuple[str, str, str]]:
    store = Store(cli.store_url)
    found = {(one.scope, one.fact, one.value) for one in store.history.accepted(("tiny", "qwen", NODE))}
    store.close()
    return found


def test_accept_wherever_it_is_known(cli: Cli) -> None:
    """Without a target a setting is accepted wherever the store knows it, and it is said where."""
    said = cli.run("accept", catalog.VERSION).stdout

    assert {("tiny", catalog.VERSION, "0.33.0"), ("qwen", catalog.VERSION, "0.33.0")} == accepted(cli)
    assert ["vllm.version 0.33.0 (qwen)", "vllm.version 0.33.0 (tiny)"] == [
        line.split(": ")[1] for line in said.splitlines()
    ]


def test_accept_of_one_target(cli: Cli) -> None:
    """With a target a setting is accepted of that one only, and undone of it."""
    cli.run("accept", catalog.VERSION, "--target", cli.url)
    before = accepted(cli)
    undone = cli.run("accept", catalog.VERSION, "--target", cli.url, "--undo").stdout

    assert [{("tiny", catalog.VERSION, "0.33.0")}, set()] == [before, accepted(cli)]
    assert "no longer accepted: vllm.version 0.33.0 (tiny)\n" == undone


def test_undo_of_nothing(cli: Cli) -> None:
    """Undoing what nobody accepted says so, and is no mistake."""
    assert "no value of vm.swappiness is accepted\n" == cli.run("accept", SWAPPINESS, "--undo").stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["vm.swapiness"], "no value of 'vm.swapiness' was ever noted; did you mean vm.swappiness?"),
        (["governor"], "no value of 'governor' was ever noted; did you mean cpu.governor?"),
        (["vllm.model"], "no value of 'vllm.model' was ever noted; see `monitor look`, and that `monitor serve` ran"),
        ([SWAPPINESS, "--target", "http://127.0.0.1:9"], "vm.swappiness is known of the node: leave --target out"),
    ],
)
def test_a_setting_that_nobody_noted(cli: Cli, arguments: list[str], line: str) -> None:
    """What is not known cannot be accepted: one line says so, with the names that are alike."""
    assert f"FACT: {line}" == cli.refused("accept", *arguments)
    assert set() == accepted(cli)


def test_a_value_of_another_process_is_one_line(cli: Cli) -> None:
    """What other processes say is printed without what would drive the terminal."""
    store = Store(cli.store_url)
    store.history.note_facts("tiny", [Fact(catalog.MODEL, "\x1b[2Jtiny\nx")], AT)
    store.close()

    assert cli.run("accept", catalog.MODEL).stdout.endswith("UTC: vllm.model ?[2Jtiny x (tiny)\n")


@pytest.fixture
def drifted(cli: Cli) -> Cli:
    """Give a node whose swappiness became 0 since the baseline, half a minute before its server got slow."""
    store = Store(cli.store_url)
    store.baselines.save(baseline(endpoint=cli.url.replace("127.0.0.1", "localhost"), facts=(swappiness("60"),)))
    store.history.note_facts(NODE, [swappiness("0")], AT + 60)
    slow = finding("regression:tiny:short:tpot", onset=AT + 90, evidence={"effect": "short TPOT +14%"})
    store.outbox.settle("tiny", [opened(slow)], (), AT + 300)
    store.close()
    return cli


def test_one_look_knows_since_when(drifted: Cli) -> None:
    """`tuning check` says since when a setting is not as in the baseline, and what a serving monitor found with it."""
    told = drifted.json("tuning", "check")["drift"]
    said = drifted.run("tuning", "check").stdout

    assert [(SWAPPINESS, "60", "0", AT + 60)] == [
        (one["fact"], one["expected"], one["actual"], one["since"]) for one in told if one["fact"] == SWAPPINESS
    ]
    assert [("short TPOT +14%", AT + 90)] == [(one["what"], one["at"]) for one in told[0]["came_with"]]
    assert f"{SWAPPINESS} came with short TPOT +14% since {utc(AT + 90)}" in said


def test_check_says_when_and_heeds_what_was_accepted(drifted: Cli) -> None:
    """`check` says when a setting changed; an accepted one is no finding, and is listed as accepted."""
    before = drifted.run("check", code=1).stdout
    drifted.run("accept", SWAPPINESS)
    after = drifted.run("check", code=1).stdout

    line = f"tiny: {SWAPPINESS} 60 → 0 since the baseline at {utc(AT + 60)}"
    assert [True, False] == [line in text for text in (before, after)]
    assert [False, True] == [f"  accepted: {SWAPPINESS} 0\n" in text for text in (before, after)]
    (target,) = drifted.json("check", code=1)["targets"]
    assert [{"fact": SWAPPINESS, "value": "0"}] == target["accepted"]
