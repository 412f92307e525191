"""Drift since the baseline: what differs is found, what is unreadable is neither found nor judged."""

from pathlib import Path

from serving import receiver, simulated
from world import World, world

from monitor import catalog
from monitor.alert.message import utc
from monitor.model import Beat, Fact
from monitor.tuning import drift
from monitor.tuning.ruling import Rulebook

BOOK = Rulebook((), {})
BEFORE = (Fact("cpu.governor", "performance"), Fact("vm.swappiness", "0"), Fact(catalog.KV_TOKENS, "100"))


def test_changed_setting_is_found() -> None:
    """A setting that is not as it was is an informing finding with both values."""
    after = (Fact("cpu.governor", "powersave"), Fact("vm.swappiness", "0"))

    (found,) = drift.drift("llama", BEFORE, after, BOOK)

    assert ("tuning", "info", "cpu.governor") == (found.kind, found.severity, found.subject)
    assert "llama: cpu.governor performance → powersave since the baseline" == found.summary


def test_unreadable_is_no_drift() -> None:
    """A setting that cannot be read, then or now, is no drift, and is not judged now."""
    after = (Fact("cpu.governor", None, why="masked"), Fact("cpu.epp", "performance"))

    assert () == drift.drift("llama", (*BEFORE, Fact("cpu.epp", None)), after, BOOK)
    assert {"tuning:llama:cpu.epp"} == drift.judged("llama", after)


def test_what_is_measured_is_no_drift() -> None:
    """What each start measures anew is nobody's setting."""
    assert () == drift.drift("llama", BEFORE, (Fact(catalog.KV_TOKENS, "90"),), BOOK)


async def test_drift_opens_and_is_named_by_what_follows(tmp_path: Path) -> None:
    """A drifted setting is an open finding that no sink is told of; the next message about the server names it."""
    async with simulated() as server, receiver() as hook, world(tmp_path / "m.db", server.url, hook.url) as here:
        here.facts[:] = [Fact("cpu.governor", "performance")]
        await here.beat()
        await here.capture("good", requests=25)
        here.facts[:] = [Fact("cpu.governor", "powersave")]
        await here.turn()
        drifted = await here.turn()
        server.turn(metrics_status=500)
        for _ in range(3):
            await here.turn()
        here.facts[:] = [Fact("cpu.governor", None, why="masked")]
        masked = await here.turn()
        here.facts[:] = [Fact("cpu.governor", "performance")]
        for _ in range(2):
            restored = await here.turn()

        assert ["cpu.governor"] == [entry.finding.subject for entry in drifted.open]
        assert [f"cpu.governor performance → powersave at {utc(drifted.open[0].since)}"] == hook.got[0]["changed"]
        assert "unreachable" in hook.got[0]["subject"]
        assert "cpu.governor" in {entry.finding.subject for entry in masked.open}
        assert "cpu.governor" not in {entry.finding.subject for entry in restored.open}


async def slowed(here: World) -> Beat:
    """Take turns until both figures of the canary are found slow."""
    for _ in range(60):
        beat = await here.turn()
        if {"short ttft", "short tpot"} <= {entry.finding.subject for entry in beat.open}:
            return beat
    raise AssertionError(f"nothing slow was found: {beat.open}")


def near(beat: Beat, subject: str) -> list[str]:
    """Name what is near one finding."""
    return [one.what for entry in beat.open if entry.finding.subject == subject for one in entry.finding.near]


async def test_what_changed_and_what_got_slower_are_told_together(tmp_path: Path) -> None:
    """A regression names the change that came before it, and the change names the regression: in the beat, in the
    message, also after a restart of the monitor and after the setting was restored.
    """
    changed = "cpu.governor performance → powersave on 64 CPUs"
    cpus = Fact(catalog.NUMA_CPUS, "0:0-31;1:32-63")
    path = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    db = tmp_path / "m.db"
    async with simulated(ttft=0.03, tpot=0.004) as server, receiver() as hook:
        async with world(db, server.url, hook.url) as here:
            here.facts[:] = [Fact("cpu.governor", "performance", path), cpus]
            await here.beat()
            await here.capture("good", requests=25)
            here.facts[0] = Fact("cpu.governor", "powersave", path)
            server.turn(slow=3.0)
            slow = await slowed(here)
        async with world(db, server.url, hook.url) as here:
            here.facts[:] = [Fact("cpu.governor", "powersave", path), cpus]
            again = await slowed(here)
            here.facts[0] = Fact("cpu.governor", "performance", path)
            restored = await here.turn()

    for beat in (slow, again):
        assert [changed] == near(beat, "short ttft") == near(beat, "short tpot")
        effects = near(beat, "cpu.governor")
        assert ["short TPOT", "short TTFT"] == sorted(effect.rpartition(" ")[0] for effect in effects)
    assert changed in near(restored, "short tpot")
    at = next(entry.since for entry in slow.open if entry.finding.subject == "cpu.governor")
    assert f"{changed} at {utc(at)}" == hook.got[0]["changed"][0]


def test_what_a_version_counts_otherwise_is_told() -> None:
    """A new version in which users' figures mean something else says so: they do not compare across it."""
    before, after = (Fact(catalog.VERSION, "0.16.0"),), (Fact(catalog.VERSION, "0.17.1"),)

    (found,) = drift.drift("llama", before, after, BOOK)

    assert found.remedy.endswith(
        "; since 0.17 vLLM counts from before the prompt is rendered and tokenised, so that both are longer"
    )
