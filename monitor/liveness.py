"""Whether the engine works: its steps beside what it has to do. That /health answers 200 proves nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from monitor import catalog
from monitor.derive import total, values
from monitor.model import Load, Probe, Snapshot

SATURATED = 2
"""So many canaries in a row that ran out of time while the engine worked: one may have met a burst."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What is remembered of one process between beats.

    `progress` counts what the engine did so far: its steps, or its tokens where a version does not tell those.
    `busy_at` is when it was last looked at, if requests were there; `still_at` since when it did nothing with them.
    `stuck` is the first canary that ran out of time with the engine where it still is, `late_at` when the first of
    `late` ones in a row was sent that did so while it worked. `works` says that it was seen to work since.
    """

    progress: float | None = None
    busy_at: float | None = None
    still_at: float | None = None
    stuck: Probe | None = None
    late_at: float | None = None
    late: int = 0
    works: bool = False


def watched(engine: Engine, snapshot: Snapshot, probes: Sequence[Probe]) -> Engine:
    """Take one beat in; a failed look is neither work nor idleness."""
    for probe in probes:
        engine = _tried(engine, probe)
    if not snapshot.ok:
        return engine
    known = values(snapshot.readings)
    steps = total(known, catalog.ENGINE_STEPS)
    progress = steps if steps is not None else total(known, catalog.PROMPT_TOKENS, catalog.GENERATION_TOKENS)
    if progress is not None and engine.progress is not None and progress < engine.progress:
        engine = Engine()  # counters that begin anew are another process, of which nothing is known yet
    unmoved = progress is not None and progress == engine.progress
    moved = progress is not None and engine.progress is not None and not unmoved
    busy_at = snapshot.at if (total(known, catalog.RUNNING, catalog.WAITING) or 0.0) > 0 else None
    began = engine.busy_at if engine.still_at is None else engine.still_at
    still_at = began if unmoved and busy_at is not None else None
    stuck = engine.stuck if engine.stuck is not None and _measure(engine.stuck.after) == progress else None
    works = (engine.works or moved) and still_at is None and stuck is None
    return Engine(progress, busy_at, still_at, stuck, engine.late_at, engine.late, works)


def hung_since(engine: Engine) -> float | None:
    """Say since when the engine does nothing though it should; None if it works, or nobody can know."""
    stuck_at = engine.stuck.at if engine.stuck is not None else None
    return min((at for at in (stuck_at, engine.still_at) if at is not None), default=None)


def saturated_since(engine: Engine) -> float | None:
    """Say since when canaries run out of time while the engine works: it has more to do than it can."""
    return engine.late_at if engine.late >= SATURATED else None


def _tried(engine: Engine, probe: Probe) -> Engine:
    """Take a canary in; of one whose loads are unknown nothing follows."""
    if probe.outcome == "ok":
        return replace(engine, stuck=None, late_at=None, late=0, works=True)
    if probe.outcome != "timeout":
        return replace(engine, late_at=None, late=0)
    before, after = _measure(probe.before), _measure(probe.after)
    if before is None or after is None:
        return engine
    if before == after:
        first = engine.stuck if engine.stuck is not None and _measure(engine.stuck.after) == after else probe
        return replace(engine, stuck=first, late_at=None, late=0)
    return replace(engine, stuck=None, late_at=engine.late_at if engine.late else probe.at, late=engine.late + 1)


def _measure(load: Load | None) -> float | None:
    """Give what a load says of the engine's progress, as `watched` reads it from a look."""
    if load is None:
        return None
    return load.steps if load.steps is not None else load.tokens
