"""Where a server's CPUs and memory are, seen from its devices: both ends must be known, or nothing is said."""

import re
from collections.abc import Mapping

from monitor import catalog
from monitor.tuning.lookup import Lookup, NobodyLookedError, UntoldError

Set = frozenset[int]

_KIND = re.compile(r"(server|engine|worker)=(.*?)(?= (?:server|engine|worker)=|$)")
_NODE = re.compile(r"(-?\d{1,4}):([\d,-]*)")
_ACCELERATORS = re.compile(r"(-?\d{1,4})=([^;]+)")
_BOUND = re.compile(r"(?:bind|prefer|interleave)[^:]*:([\d,-]+)")
_MEMBERS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
_SIZES = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
_ELSEWHERE = {"nnodes", "node-rank", "headless", "data-parallel-size-local", "data-parallel-address"}
NEAR, UNBOUND = "near", "unbound"


def cpus(known: Lookup) -> str:
    """Say whether the CPUs of the processes that feed the devices are on the devices' nodes."""
    nodes = _node_cpus(known)
    allowed = _of_workers(known.value(catalog.PROCESS_AFFINITY))
    theirs = _members(allowed)
    return _placed(known, frozenset(node for node, own in nodes.items() if own & theirs), "CPUs")


def memory(known: Lookup) -> str:
    """Say whether their memory is: as their policy says, else as their control group allows."""
    policies = _of_workers(known.value(catalog.PROCESS_NUMA_POLICY)).split(";")
    bound = [match[1] for policy in policies if (match := _BOUND.match(policy))]
    whole = len(bound) == len(policies)
    theirs = ",".join(bound) if whole else _of_workers(known.value(catalog.PROCESS_NUMA_NODES))
    return _placed(known, _members(theirs), "memory")


def irqs(known: Lookup) -> str:
    """Say whether irqbalance runs beside a server that is bound to some of the node's CPUs."""
    every = frozenset[int]().union(*_node_cpus(known).values())
    bound = _members(_of_workers(known.value(catalog.PROCESS_AFFINITY))) < every
    runs = known.there(catalog.IRQBALANCE)
    return "irqbalance runs beside bound CPUs" if bound and runs else "left alone"


def cpu_room(known: Lookup) -> str:
    """Say whether the quota grants all the CPUs that the threads may run on."""
    count = len(_members(known.value(catalog.PROCESS_AFFINITY)))
    enough = not known.there(catalog.PROCESS_CPU_QUOTA) or known.number(catalog.PROCESS_CPU_QUOTA) >= count
    return "enough" if enough else f"{known.value(catalog.PROCESS_CPU_QUOTA)} of {count} CPUs"


def devices(known: Lookup) -> str:
    """Say whether as many devices are in use as the sizes ask for; more may be another server's."""
    wanted, used = _wanted(known), len(known.value(catalog.ASCEND_SERVED).split(","))
    if used > wanted:
        raise UntoldError(f"{used} devices are in use by vLLM and this server asks for {wanted}: several run here")
    return "as asked" if used == wanted else f"{used} of {wanted}"


def _wanted(known: Lookup) -> int:
    """Give how many devices the server asks for on this node; raises UntoldError where some may be on another."""
    sizes = [known.value(catalog.IN_FORCE[name]) for name in _SIZES]
    executor = known.get(catalog.IN_FORCE["executor"])
    spread = _ELSEWHERE & set(known.value(catalog.PROCESS_ARGUMENTS_OTHERS).split())
    if spread or (executor and executor.value not in {None, "mp", "uni"}) or not all(map(str.isdecimal, sizes)):
        raise UntoldError("the server may use devices of other nodes, too")
    product = 1
    for size in sizes:
        product *= int(size)
    return product


def _placed(known: Lookup, theirs: Set, what: str) -> str:
    """Compare with the devices' nodes. Which devices a server uses is not known by address, only if it uses all."""
    found = _ACCELERATORS.findall(known.value(catalog.ACCELERATORS))
    of_node = {int(node): listed.split(",") for node, listed in found}
    if not of_node:
        raise NobodyLookedError(catalog.ACCELERATORS)
    homes = frozenset(of_node)
    if -1 in homes:
        raise UntoldError("neither firmware nor hypervisor tells on which NUMA node the devices are")
    if not theirs & homes:
        return f"far: {what} of node {_listed(theirs)}, devices on node {_listed(homes)}"
    if theirs >= homes:
        return NEAR if theirs == homes else UNBOUND
    if _wanted(known) < sum(map(len, of_node.values())):
        raise UntoldError("which of the node's devices the server uses is not known")
    return f"far: {what} of node {_listed(theirs)}, devices also on node {_listed(homes - theirs)}"


def _listed(nodes: Set) -> str:
    return ",".join(map(str, sorted(nodes)))


def _node_cpus(known: Lookup) -> Mapping[int, Set]:
    return {int(node): _members(listed) for node, listed in _NODE.findall(known.value(catalog.NUMA_CPUS))}


def _of_workers(value: str) -> str:
    """Of a value that differs take that of the workers, else of the engine: they feed the devices."""
    kinds = dict(_KIND.findall(value))
    return next((kinds[name] for name in ("worker", "engine", "server") if name in kinds), value)


def _members(listed: str) -> Set:
    """Give the numbers of lists such as "0-3,8;16-19"; raises UntoldError for one that was cut."""
    if "…" in listed:
        raise UntoldError("the list is too long to be told")
    spans = _MEMBERS.findall(listed)
    return frozenset(number for first, last in spans for number in range(int(first), int(last or first) + 1))
