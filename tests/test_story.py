"""The whole arc: healthy, captured, slower, told once, killed and restarted, healed, resolved."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from messages import faults
from serving import receiver, simulated
from world import World, world

from monitor import catalog
from monitor.model import Beat

pytestmark = pytest.mark.alone

PATIENCE = 60
"""Turns within which something must happen; most happen within a quarter of them."""


async def until(what: World, holds: Callable[[Beat], bool]) -> Beat:
    """Take turns until a beat shows what is waited for."""
    for _ in range(PATIENCE):
        beat = await what.turn()
        if holds(beat):
            return beat
    raise AssertionError(f"it did not happen within {PATIENCE} turns: {beat}")


def both_found(beat: Beat) -> bool:
    grave = {entry.finding.subject for entry in beat.open if entry.finding.severity == "critical"}
    return {"short ttft", "short tpot"} == grave


async def test_story(tmp_path: Path) -> None:
    """A slower server is told of once, with since when and how much, across a kill; healed, it is resolved."""
    db = tmp_path / "monitor.db"
    async with simulated(ttft=0.03, tpot=0.004) as server, receiver() as hook:
        async with world(db, server.url, hook.url) as first:
            await first.beat()
            await first.capture("good")
            healthy = await until(first, lambda beat: all(not one.unjudged for one in beat.judgements))

            assert () == healthy.open
            assert [] == hook.got

            server.turn(slow=3.0)
            opened = await until(first, both_found)
            assert {"critical"} == {entry.finding.severity for entry in opened.open}

        async with world(db, server.url, hook.url) as second:
            pairs = set(second.shown(catalog.FINDING_ACTIVE))
            assert {"short tpot", "short ttft"} == {dict(labels)["subject"] for labels in pairs}

            still = await second.turn()
            assert both_found(still)

            server.turn(slow=1.0)
            healed = await until(second, lambda beat: not beat.open)
            assert {} == second.shown(catalog.FINDING_ACTIVE)
            assert healed.baseline is not None

        assert ["firing", "resolved"] == [message["status"] for message in hook.got]
        assert [[], []] == [faults(message) for message in hook.got]
        firing, resolved = hook.got
        assert firing["key"] == resolved["key"]
        assert firing["since"] <= firing["at"] < resolved["at"]
        assert "baseline 'good'" in firing["summary"]
        assert re.fullmatch(r"llama: short T.*%.* since .* UTC; no cause is known", firing["incident"]["sentence"])


async def test_shadow_records_and_tells_nobody(tmp_path: Path) -> None:
    """In shadow, the default, a finding is shown and recorded, and no sink hears of it."""
    async with simulated() as server, receiver() as hook:
        async with world(tmp_path / "monitor.db", server.url, hook.url, paging="shadow") as quiet:
            await quiet.beat()
            server.turn(metrics_status=500)
            down = await until(quiet, lambda beat: bool(beat.open))

        assert ["unreachable"] == [entry.finding.subject for entry in down.open]
        assert [] == hook.got
