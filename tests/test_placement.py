"""Where a server's CPUs and memory are, seen from its devices: near, unbound or far; unreadable rather than guessed."""

import pytest

from monitor import catalog
from monitor.model import Fact
from monitor.tuning.derived import complete

ONE_SIDE = "1=0000:81:00.0,0000:82:00.0"
BOTH_SIDES = "0=0000:01:00.0,0000:02:00.0;1=0000:81:00.0,0000:82:00.0"
HERE = {
    "numa.cpus": "0:0-31;1:32-63",
    "pci.accelerators": ONE_SIDE,
    "irq.irqbalance": "running",
    "process.affinity": "0-63",
    "process.numa_nodes": "0-1",
    "process.numa_policy": "default",
    "process.arguments_others": "none",
    **dict.fromkeys(catalog.PROCESS_ARG.values(), "unset"),
}
UNKNOWN = "which of the node's devices the server uses is not known"


def followed(name: str, **known: str | None) -> Fact | None:
    """Give what follows for a server on a node of two sockets."""
    facts = complete(Fact(fact, value, "", "masked") for fact, value in {**HERE, **known}.items())
    return next((fact for fact in facts if fact.name == name), None)


@pytest.mark.parametrize(
    ("fact", "known", "value"),
    [
        ("placement.cpus", {}, "unbound"),
        ("placement.cpus", {"process.affinity": "server=0-63 engine=0-63 worker=32-47;48-63"}, "near"),
        ("placement.cpus", {"process.affinity": "server=32-63 engine=0-7"}, "far: CPUs of node 0, devices on node 1"),
        ("placement.cpus", {"pci.accelerators": BOTH_SIDES}, "near"),
        (
            "placement.cpus",
            {
                "pci.accelerators": BOTH_SIDES,
                "process.affinity": "0-31",
                "process.arg.tensor-parallel-size": "4",
            },
            "far: CPUs of node 0, devices also on node 1",
        ),
        ("placement.cpus", {"numa.cpus": "0:0-63", "pci.accelerators": "0=0000:01:00.0"}, "near"),
        ("placement.memory", {}, "unbound"),
        ("placement.memory", {"process.numa_policy": "bind:1"}, "near"),
        ("placement.memory", {"process.numa_policy": "bind:0"}, "far: memory of node 0, devices on node 1"),
        (
            "placement.memory",
            {"process.numa_policy": "server=default worker=prefer (many):0"},
            "far: memory of node 0, devices on node 1",
        ),
        ("placement.memory", {"process.numa_policy": "bind:0;default"}, "unbound"),
        ("placement.memory", {"process.numa_policy": "local", "process.numa_nodes": "1"}, "near"),
        ("placement.irqs", {}, "left alone"),
        ("placement.irqs", {"process.affinity": "0-31"}, "irqbalance runs beside bound CPUs"),
        ("placement.irqs", {"process.affinity": "0-31", "irq.irqbalance": "absent"}, "left alone"),
        ("effective.devices", {"ascend.served_devices": "0,1", "process.arg.tensor-parallel-size": "2"}, "as asked"),
        (
            "effective.devices",
            {"ascend.served_devices": "0/0,0/1,1/0", "process.arg.tensor-parallel-size": "4"},
            "3 of 4",
        ),
    ],
)
def test_told(fact: str, known: dict[str, str], value: str) -> None:
    """What both ends tell is said of the processes that feed the devices: the workers, else the engine."""
    found = followed(fact, **known)
    assert found
    assert value == found.value


@pytest.mark.parametrize(
    ("fact", "known", "why"),
    [
        (
            "placement.cpus",
            {"pci.accelerators": "-1=0000:81:00.0"},
            "neither firmware nor hypervisor tells on which NUMA node the devices are",
        ),
        ("placement.cpus", {"pci.accelerators": BOTH_SIDES, "process.affinity": "0-31"}, UNKNOWN),
        ("placement.cpus", {"process.affinity": None}, "masked"),
        ("placement.cpus", {"process.affinity": "0-31;…#0123456789ab"}, "the list is too long to be told"),
        ("placement.irqs", {"process.affinity": "0-31", "irq.irqbalance": None}, "masked"),
        (
            "effective.devices",
            {"ascend.served_devices": "0,1,2,3"},
            "4 devices are in use by vLLM and this server asks for 1: several run here",
        ),
        (
            "effective.devices",
            {"ascend.served_devices": "0", "process.arg.distributed-executor-backend": "ray"},
            "the server may use devices of other nodes, too",
        ),
        (
            "effective.devices",
            {"ascend.served_devices": "0", "process.arguments_others": "nnodes trust-remote-code"},
            "the server may use devices of other nodes, too",
        ),
    ],
)
def test_not_told(fact: str, known: dict[str, str | None], why: str) -> None:
    """What one end does not tell is unreadable, with what stands in the way."""
    found = followed(fact, **known)
    assert found
    assert (None, why) == (found.value, found.why)


def test_without_devices() -> None:
    """Where there are no devices, nothing is near or far."""
    assert followed("placement.cpus", **{"pci.accelerators": "none"}) is None
    assert followed("placement.memory", **{"pci.accelerators": "none"}) is None
