"""Facts that follow from others: what is in force whoever told it, and what is right only beside something else."""

import re
from collections.abc import Iterable, Iterator
from posixpath import basename

from monitor import catalog
from monitor.model import Fact
from monitor.tuning import ascend, in_force, placement
from monitor.tuning.lookup import ASCEND, UNSET, Ask, Lookup, NobodyLookedError, asked

_FAMILY = re.compile(r"(qwen[\d.]*|qwq)-(\d+(?:\.\d+)?b(?:-a\d+(?:\.\d+)?b)?)(?![a-z])", re.IGNORECASE)
OFFICIAL, SOPHON = "official", "vllm_sophon"


def complete(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Add to facts all that follows from them, in place of what followed before.

    What cannot be told is unreadable, with what stands in the way; of what nobody looked at nothing follows.
    """
    given = tuple(fact for fact in facts if fact.name not in catalog.DERIVED)
    seen = (*given, *_unseen(Lookup(given)))
    settings = tuple(in_force.facts(Lookup(seen)))
    return (*seen, *settings, *_others(Lookup((*seen, *settings))))


def added(server: tuple[Fact, ...], node: Iterable[Fact]) -> tuple[Fact, ...]:
    """Add to a server's facts what follows from them and from its node's."""
    return (*server, *(fact for fact in complete((*server, *node)) if fact.name in catalog.DERIVED))


def _unseen(known: Lookup) -> Iterator[Fact]:
    """Of a process that somebody looked for and did not find every fact is unreadable, for that reason."""
    process = known.get(catalog.PROCESS_PID)
    if process is not None and process.value is None:
        for name in catalog.FACTS:
            if name.startswith("process.") and known.get(name) is None:
                yield Fact(name, None, process.path, process.why)


def _others(known: Lookup) -> Iterator[Fact]:
    for name, ask, *sources in _FOLLOW:
        yield from asked(name, ask, known, f"from {', '.join(sources)}")


def family(known: Lookup) -> str:
    """Give model and size as the weights' name says them, in one spelling."""
    match = _FAMILY.search(known.value(catalog.IN_FORCE["model"]))
    name = match[1].capitalize().replace("Qwq", "QwQ") if match else ""
    return f"{name}-{match[2].upper()}" if match else "other"


def allocators(known: Lookup) -> str:
    """Say whether any process has more than one allocator mapped."""
    return "several" if "+" in known.value(catalog.PROCESS_ALLOCATOR) else "one"


def python_path(known: Lookup) -> str:
    """Say which vllm comes first where PYTHONPATH names folders; Sophgo's own has a folder named so."""
    names = [basename(folder.rstrip("/")) for folder in known.value(catalog.PROCESS_ENV["PYTHONPATH"]).split(":")]
    first = next((name for name in names if name in {"vllm", SOPHON}), "")
    return {"": UNSET, "vllm": OFFICIAL}.get(first, first)


def _on_ascend(ask: Ask) -> Ask:
    def only_there(known: Lookup) -> str:
        if not known.there(ASCEND):
            raise NobodyLookedError(ASCEND)
        return ask(known)

    return only_there


_CONF = catalog.PROCESS_ENV["PYTORCH_NPU_ALLOC_CONF"]
_PREFETCH = catalog.PROCESS_ENV["VLLM_ASCEND_ENABLE_PREFETCH_MLP"]
_DENSE = catalog.PROCESS_ENV["VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE"]
_FLASHCOMM = catalog.PROCESS_ENV["VLLM_ASCEND_ENABLE_FLASHCOMM1"]
_ADDITIONAL = catalog.PROCESS_ARG["additional-config"]
_FOLLOW: tuple[tuple[str, Ask, *tuple[str, ...]], ...] = (
    (catalog.MODEL_FAMILY, family, catalog.IN_FORCE["model"]),
    (catalog.NPU_ALLOCATION, _on_ascend(ascend.alloc_conf), _CONF, ASCEND),
    (catalog.MLP_PREFETCH, _on_ascend(ascend.mlp_prefetch), _PREFETCH, _DENSE),
    (catalog.FLASHCOMM, _on_ascend(ascend.flashcomm1), _FLASHCOMM, _ADDITIONAL),
    (catalog.ASCEND_MEMORY, ascend.memory, catalog.ASCEND_DEVICES),
    (catalog.ALLOCATORS, allocators, catalog.PROCESS_ALLOCATOR),
    (catalog.CPU_ROOM, placement.cpu_room, catalog.PROCESS_CPU_QUOTA, catalog.PROCESS_AFFINITY),
    (catalog.DEVICES_USED, placement.devices, catalog.ASCEND_SERVED, catalog.IN_FORCE["tensor_parallel_size"]),
    (catalog.PYTHON_PATH, python_path, catalog.PROCESS_ENV["PYTHONPATH"]),
    (catalog.PLACED_CPUS, placement.cpus, catalog.PROCESS_AFFINITY, catalog.ACCELERATORS),
    (catalog.PLACED_MEMORY, placement.memory, catalog.PROCESS_NUMA_POLICY, catalog.ACCELERATORS),
    (catalog.PLACED_IRQS, placement.irqs, catalog.PROCESS_AFFINITY, catalog.IRQBALANCE),
)
