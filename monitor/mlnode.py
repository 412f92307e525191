"""What a Gonka MLNode's state and its GPUs say about health: whether it serves, and with as many vLLM as it could."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from monitor import catalog
from monitor.model import Fact, Finding

SERVING = "INFERENCE"
DEPLOY = "look at the MLNode's log; POST /api/v1/inference/up deploys the model again"
"""What to do about a node that does not serve."""
_EFFECTIVE = {key: name for name, key in catalog.EFFECTIVE.items()}
# As the server says it, or as its process was started.
_TENSOR_PARALLEL = (
    _EFFECTIVE["parallel_config.tensor_parallel_size"],
    catalog.PROCESS_ARG["tensor-parallel-size"],
)
_PIPELINE_PARALLEL = (
    _EFFECTIVE["parallel_config.pipeline_parallel_size"],
    catalog.PROCESS_ARG["pipeline-parallel-size"],
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, and the keys that could be judged."""

    findings: tuple[Finding, ...] = ()
    judged: frozenset[str] = frozenset()


def judge(target: str, facts: Iterable[Fact], hold: float) -> Verdict:
    """Judge all that is known of the server and its node; without an MLNode that tells its state nothing is.

    `hold` is how many seconds a trouble must last.
    """
    known = {fact.name: fact.value for fact in facts if fact.value is not None}
    state = known.get(catalog.MLNODE_STATE)
    if state is None:
        return Verdict()
    judged = frozenset({_key(target, "mlnode")})
    if state != SERVING:
        return Verdict((_elsewhere(target, state, hold),), judged)
    room = _room(known)
    if room is None:
        return Verdict((), judged)
    size, devices, unused = room
    fewer = (_fewer(target, size, devices, unused, hold),) if len(unused) >= size else ()
    return Verdict(fewer, judged | {_key(target, "instances")})


def _room(known: dict[str, str]) -> tuple[int, int, list[str]] | None:
    """Give how many GPUs one instance takes, how many there are, and which hold no model; None if one is not known."""
    across, deep = _first(known, _TENSOR_PARALLEL), _first(known, _PIPELINE_PARALLEL)
    devices = sum(int(count) for count in re.findall(r"\b([0-9]{1,4})x ", known.get(catalog.NVIDIA_DEVICES, "")))
    if not across or not deep or not devices or catalog.NVIDIA_UNUSED not in known:
        return None
    return across * deep, devices, re.findall(r"[0-9]+", known[catalog.NVIDIA_UNUSED])


def _first(known: dict[str, str], names: tuple[str, ...]) -> int | None:
    """Give the number that the first known of these facts tells; one that nobody set is 1."""
    told = next((known[name] for name in names if name in known), "")
    return 1 if told == "unset" else int(told) if re.fullmatch(r"[1-9][0-9]{0,3}", told) else None


def _key(target: str, subject: str) -> str:
    return f"health:{target}:{subject}"


def _elsewhere(target: str, state: str, hold: float) -> Finding:
    return Finding(
        key=_key(target, "mlnode"),
        kind="health",
        severity="warning",
        subject="mlnode",
        group=f"health:{target}",
        summary=f"{target}: the MLNode is in state {state}, so that nothing is served",
        remedy=DEPLOY,
        hold=hold,
        observed=state,
        expected=SERVING,
    )


def _fewer(target: str, size: int, devices: int, unused: list[str], hold: float) -> Finding:
    expected, running = devices // size, (devices - len(unused)) // size
    return Finding(
        key=_key(target, "instances"),
        kind="health",
        severity="warning",
        subject="instances",
        group=f"health:{target}",
        summary=f"{target}: {running} of {expected} vLLM instances seem to run: GPUs {','.join(unused)} hold no model, "
        f"and one instance takes {size}",
        remedy="look at the MLNode's log for the instance that did not start",
        hold=hold,
        observed=str(running),
        expected=str(expected),
    )
