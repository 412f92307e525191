"""The node's files: what each tree gives, and what is said of files that are missing, forbidden or wrong."""

import json
import math
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.host.look import Roots, look
from monitor.collect.host.numa import MOST_ACCELERATORS
from monitor.collect.host.state import MOST_PROCESSES
from monitor.model import Fact, Reading

TREES = Path(__file__).parent / "captures" / "host"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())
FILES = sorted(str(path.relative_to(TREES)) for path in TREES.rglob("*") if path.is_file() and path.parent != TREES)
KINDS = sorted({file.partition("/")[2]: file for file in FILES}.values())
"""One file of each path: the trees have most in common."""
CPU = "sys/devices/system/cpu"
PCI = "sys/bus/pci/devices"
SWAPS = "Filename Type Size Used Priority\n"
NODE = "sys/devices/system/node"


def seen(tree: Path) -> tuple[tuple[Reading, ...], dict[str, Fact]]:
    readings, facts = look(Roots(tree / "proc", tree / "sys", tree / "dev"), 1000.0)
    return readings, {fact.name: fact for fact in facts}


def value(tree: Path, name: str) -> str | None:
    return seen(tree)[1][name].value


def amounts(tree: Path, metric: str) -> dict[str, float]:
    return {"".join(v for _, v in r.labels): r.value for r in seen(tree)[0] if r.metric == metric}


def put(tree: Path, path: str, text: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text)


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TREES / "ascend-tuned", tmp_path / "tree"))


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each captured tree gives exactly the readings and facts of its golden."""
    readings, facts = seen(TREES / name)
    found = {"readings": [asdict(one) for one in readings], "facts": [asdict(one) for one in facts.values()]}
    compare(TREES / f"{name}.json", json.dumps(found, indent=1) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_same_facts_everywhere(name: str) -> None:
    """Every fact is told on every node: with a value, or with why there is none."""
    _, facts = seen(TREES / name)
    assert {"cpu", "vm", "kernel", "thp", "numa", "pci", "irq"} == {fact.split(".")[0] for fact in facts}
    assert set(seen(TREES / "ascend-tuned")[1]) == set(facts)
    assert all((fact.value is None) == bool(fact.why) for fact in facts.values())
    assert all(fact.path.startswith(("/proc/", "/sys/")) for fact in facts.values())


@pytest.mark.parametrize("name", NAMES)
def test_readings_fit_the_catalogue(name: str) -> None:
    """Every reading is a catalogued metric with its labels, at the given time, and none is given twice."""
    readings, _ = seen(TREES / name)
    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert reading.at == 1000.0
    assert len({(r.metric, r.labels) for r in readings}) == len(readings)


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(TREES, tmp_path_factory.mktemp("host") / "trees"))


@settings(max_examples=300)
@given(file=st.sampled_from(FILES), content=st.binary(max_size=64) | st.text("0189-,\n []:cpusome=").map(str.encode))
def test_garbage_never_raises(forest: Path, file: str, content: bytes) -> None:
    """Whatever bytes a file holds, a look succeeds, tells every fact, and all its numbers are finite."""
    name, _, _ = file.partition("/")
    before = (forest / file).read_bytes()
    (forest / file).write_bytes(content)
    try:
        readings, facts = seen(forest / name)
    finally:
        (forest / file).write_bytes(before)
    assert all(math.isfinite(reading.value) and reading.value >= 0 for reading in readings)
    assert set(seen(TREES / name)[1]) == set(facts)
    assert all((fact.value is None) == bool(fact.why) for fact in facts.values())


@pytest.mark.parametrize("content", ["", "\n", "lots\n", "60 60\n", "6e1\n", "nan\n", "9" * 400])
def test_malformed_number(tuned: Path, content: str) -> None:
    """A knob that does not hold one integer is unreadable, never zero."""
    put(tuned, "proc/sys/vm/swappiness", content)
    expected = Fact("vm.swappiness", None, "/proc/sys/vm/swappiness", "unexpected content")
    assert expected == seen(tuned)[1]["vm.swappiness"]
    assert amounts(tuned, catalog.SWAPPINESS) == {}


@pytest.mark.parametrize("file", KINDS)
def test_directory_or_loop_in_place_of_a_file(tmp_path: Path, file: str) -> None:
    """A file that the system refuses to read costs what it holds, and says why; the rest of the look stands."""
    name, _, rest = file.partition("/")
    tree = Path(shutil.copytree(TREES / name, tmp_path / name))
    before, _ = seen(tree)
    broken = tmp_path / file
    broken.unlink()
    broken.symlink_to(broken)
    after, facts = seen(tree)
    assert len(after) <= len(before)
    broken.unlink()
    broken.mkdir()
    assert after == seen(tree)[0]
    whys = [fact.why for fact in facts.values() if fact.path == f"/{rest}"]
    assert all(why == "cannot be read: Too many levels of symbolic links" for why in whys)


def test_permission_denied(tuned: Path) -> None:
    """Files that may not be read are told as such, and what would help."""
    tuned.chmod(0)
    uid = os.geteuid()
    os.seteuid(uid or 1)  # permissions do not bind root
    try:
        readings, facts = seen(tuned)
    finally:
        os.seteuid(uid)
        tuned.chmod(0o755)
    assert readings == ()
    assert facts["vm.swappiness"].why == "permission denied: needs root, or a security module forbids it"
    assert facts["cpu.governor"].why == "no CPUs found: is /sys of the host mounted here?"


def test_disagreeing_governors(tuned: Path) -> None:
    """Governors that differ are counted, in the fact and in the readings."""
    put(tuned, f"{CPU}/cpu1/cpufreq/scaling_governor", "powersave\n")
    assert seen(tuned)[1]["cpu.governor"].value == "performance=3,powersave=1"
    assert amounts(tuned, catalog.GOVERNOR_CPUS) == {"performance": 3, "powersave": 1}


def test_unread_cpu_is_not_agreement(tuned: Path) -> None:
    """A governor is not told if one CPU's could not be read, and how many that are is."""
    (tuned / CPU / "cpu3/cpufreq/scaling_governor").unlink()
    found = seen(tuned)[1]["cpu.governor"]
    assert found.value is None
    assert found.why == "1 of 4 CPUs: no cpufreq here: a virtual machine, or frequency is managed by firmware"
    assert amounts(tuned, catalog.GOVERNOR_CPUS) == {"performance": 3}


@pytest.mark.parametrize(
    ("driver", "epp", "decides"),
    [
        ("intel_pstate", "balance_performance", "epp"),
        ("amd-pstate-epp", "128", "epp"),
        ("intel_pstate", "", "governor"),  # a CPU without HWP
        ("intel_cpufreq", "balance_performance", "governor"),
        ("acpi-cpufreq", "", "governor"),
    ],
)
def test_what_decides_the_clock(tuned: Path, driver: str, epp: str, decides: str) -> None:
    """An energy preference decides only where an active driver has one; elsewhere the governor does."""
    put(tuned, f"{CPU}/cpu0/cpufreq/scaling_driver", driver)
    for cpu in range(4) if epp else ():
        put(tuned, f"{CPU}/cpu{cpu}/cpufreq/energy_performance_preference", epp)
    facts = seen(tuned)[1]
    assert (decides, epp or "none") == (facts["cpu.scaling"].value, facts["cpu.epp"].value)


def test_preference_partly_read(tuned: Path) -> None:
    """Where an active driver's preference is known of some CPUs only, it is not known what decides."""
    put(tuned, f"{CPU}/cpu0/cpufreq/scaling_driver", "intel_pstate")
    put(tuned, f"{CPU}/cpu0/cpufreq/energy_performance_preference", "performance")
    facts = seen(tuned)[1]
    assert (None, "3 of 4 CPUs: the cpufreq driver has none") == (facts["cpu.epp"].value, facts["cpu.epp"].why)
    assert (None, facts["cpu.epp"].why) == (facts["cpu.scaling"].value, facts["cpu.scaling"].why)


@pytest.mark.parametrize(
    ("file", "content", "turbo"),
    [
        ("intel_pstate/no_turbo", "0", "on"),
        ("intel_pstate/no_turbo", "1", "off"),
        ("cpufreq/boost", "1", "on"),
        ("cpufreq/boost", "0", "off"),
        ("cpufreq/boost", "2", None),
        ("cpufreq/other", "1", "none"),
    ],
)
def test_turbo(tuned: Path, file: str, content: str, turbo: str | None) -> None:
    """Turbo is told from whichever switch the driver has; a driver without one has none."""
    put(tuned, f"{CPU}/{file}", content)
    assert turbo == value(tuned, "cpu.turbo")


def states(tree: Path, cpu: int, *latencies: str, off: str = "0") -> None:
    (tree / CPU / "cpuidle/current_driver").unlink(missing_ok=True)
    for number, latency in enumerate(latencies):
        put(tree, f"{CPU}/cpu{cpu}/cpuidle/state{number}/latency", latency)
        put(tree, f"{CPU}/cpu{cpu}/cpuidle/state{number}/disable", off)


def test_deepest_idle_state(tuned: Path) -> None:
    """The deepest idle state that any CPU may enter counts; one that is disabled does not."""
    for cpu in range(4):
        states(tuned, cpu, "0", "2", "170")
    assert "170" == value(tuned, "cpu.idle_exit_us")
    for cpu in range(3):
        put(tuned, f"{CPU}/cpu{cpu}/cpuidle/state2/disable", "1")
    assert "170" == value(tuned, "cpu.idle_exit_us")
    put(tuned, f"{CPU}/cpu3/cpuidle/state2/disable", "1")
    assert "2" == value(tuned, "cpu.idle_exit_us")
    for cpu in range(4):
        states(tuned, cpu, "0", "2", "170", off="1")
    assert "0" == value(tuned, "cpu.idle_exit_us")


@pytest.mark.parametrize(("limit", "deepest"), [(2_000_000_000, "170"), (170, "170"), (169, "2"), (0, "0")])
def test_latency_that_programs_ask_for(tuned: Path, limit: int, deepest: str) -> None:
    """States beyond the latency that programs ask for are not entered."""
    for cpu in range(4):
        states(tuned, cpu, "0", "2", "170")
    (tuned / "dev").mkdir()
    (tuned / "dev/cpu_dma_latency").write_bytes(limit.to_bytes(4, sys.byteorder, signed=True))
    assert deepest == value(tuned, "cpu.idle_exit_us")


def test_idle_states_untold(tuned: Path) -> None:
    """A kernel without idle driver has no such states; if one CPU's cannot be read, nothing is told."""
    assert "none" == value(tuned, "cpu.idle_exit_us")
    for cpu in range(3):
        states(tuned, cpu, "0", "2")
    found = seen(tuned)[1]["cpu.idle_exit_us"]
    assert (None, "no idle states are told: is /sys of the host mounted here?") == (found.value, found.why)
    states(tuned, 3, "soon")
    found = seen(tuned)[1]["cpu.idle_exit_us"]
    assert (None, "unexpected content") == (found.value, found.why)


@pytest.mark.parametrize(
    ("content", "swap"),
    [
        (SWAPS, "none"),
        (f"{SWAPS}/dev/dm-1 partition 4194300 0 -2\n", "unused"),
        (f"{SWAPS}/dev/dm-1 partition 4194300 0 -2\n/a\\040b file 1020 4 5\n", "used"),
        ("", None),
        (f"{SWAPS}/dev/dm-1 partition\n", None),
    ],
)
def test_swap(tuned: Path, content: str, swap: str | None) -> None:
    """Swap is told as there being none, none of it in use, or some."""
    put(tuned, "proc/swaps", content)
    assert swap == value(tuned, "vm.swap")


def test_irqbalance(tuned: Path) -> None:
    """A daemon is told to run or to be absent only where the host's processes are seen."""
    assert "absent" == value(tuned, "irq.irqbalance")
    put(tuned, "proc/77/comm", "irqbalance\n")
    assert "running" == value(tuned, "irq.irqbalance")
    put(tuned, "proc/2/comm", "sleep\n")
    found = seen(tuned)[1]["irq.irqbalance"]
    assert found.value is None
    assert "mount /proc of the host" in found.why


def test_more_processes_than_are_looked_at(tuned: Path) -> None:
    """A daemon that could be among the processes that were not looked at is not said to be absent."""
    for pid in range(3, MOST_PROCESSES + 3):
        (tuned / f"proc/{pid}").mkdir(exist_ok=True)
    found = seen(tuned)[1]["irq.irqbalance"]
    assert (None, f"not among the {MOST_PROCESSES} processes that were looked at") == (found.value, found.why)


def device(tree: Path, address: str, vendor: str, kind: str, node: str = "0\n") -> None:
    for name, content in (("vendor", vendor), ("class", kind), ("numa_node", node)):
        put(tree, f"{PCI}/{address}/{name}", content)


def test_accelerators(tuned: Path) -> None:
    """Accelerators are told by NUMA node; other things of the same vendors are none."""
    shutil.rmtree(tuned / PCI)
    device(tuned, "0000:05:00.0", "0x19e5", "0x030000")
    device(tuned, "0000:06:00.0", "0x10de", "0x068000")
    device(tuned, "0000:07:00.0", "0x1f1c", "0x060400")
    assert "none" == value(tuned, "pci.accelerators")
    device(tuned, "0000:c1:00.0", "0x19e5", "0x120000", "1\n")
    device(tuned, "0000:81:00.0", "0x10de", "0x030000", "1\n")
    device(tuned, "0000:21:00.0", "0x1f1c", "0x040000", "0\n")
    device(tuned, "0002:01:00.0", "0x10de", "0x030200", "-1\n")
    device(tuned, "not-an-address", "0x10de", "0x030200")
    found = "-1=0002:01:00.0;0=0000:21:00.0;1=0000:81:00.0,0000:c1:00.0"
    assert found == value(tuned, "pci.accelerators")
    (tuned / PCI / "0000:21:00.0/numa_node").unlink()
    (tuned / PCI / "0000:81:00.0/vendor").unlink()  # just unplugged
    assert "-1=0000:21:00.0,0002:01:00.0;1=0000:c1:00.0" == value(tuned, "pci.accelerators")


@pytest.mark.parametrize("name", ["vendor", "class", "numa_node"])
def test_accelerator_unread(tuned: Path, name: str) -> None:
    """If what a device is, or where, cannot be read, no accelerator is told."""
    put(tuned, f"{PCI}/0000:81:00.0/{name}", "?\n")
    expected = Fact("pci.accelerators", None, f"/{PCI}/0000:81:00.0/{name}", "unexpected content")
    assert expected == seen(tuned)[1]["pci.accelerators"]


def test_too_many_accelerators(tuned: Path) -> None:
    """A list that would not end is not told."""
    for number in range(MOST_ACCELERATORS + 1):
        device(tuned, f"0000:{number:02x}:00.1", "0x19e5", "0x120000")
    assert seen(tuned)[1]["pci.accelerators"].why == f"more than {MOST_ACCELERATORS} accelerators"


def test_mitigations(tuned: Path) -> None:
    """What the kernel works around is named; what the CPU does not suffer from, or suffers, is not."""
    assert "spec_store_bypass,spectre_v1" == value(tuned, "cpu.mitigations")
    put(tuned, f"{CPU}/vulnerabilities/itlb_multihit", "KVM: Mitigation: VMX disabled\n")
    assert "itlb_multihit,spec_store_bypass,spectre_v1" == value(tuned, "cpu.mitigations")
    for name in ("itlb_multihit", "spec_store_bypass", "spectre_v1"):
        put(tuned, f"{CPU}/vulnerabilities/{name}", "Vulnerable\n")
    assert "none" == value(tuned, "cpu.mitigations")
    put(tuned, f"{CPU}/vulnerabilities/mds", "\0")
    assert value(tuned, "cpu.mitigations") is None


@pytest.mark.parametrize(
    ("online", "counted"),
    [("0-3\n", 4), ("0\n", 1), ("1-2\n", 2), ("0,2-3\n", 3), ("0,0-1\n", 2)],
)
def test_online_list(tuned: Path, online: str, counted: int) -> None:
    """Only CPUs of the kernel's list of online CPUs are counted, each once."""
    put(tuned, f"{CPU}/online", online)
    assert sum(amounts(tuned, catalog.GOVERNOR_CPUS).values()) == counted


@pytest.mark.parametrize("online", [None, "", "all\n", "0-\n", "0-99999999999\n"])
def test_online_list_unreadable(tuned: Path, online: str | None) -> None:
    """Without a readable list of online CPUs, all CPUs that have a directory count."""
    (tuned / CPU / "online").unlink()
    if online is not None:
        put(tuned, f"{CPU}/online", online)
    assert amounts(tuned, catalog.GOVERNOR_CPUS) == {"performance": 4}


def test_migration_cost_prefers_proc(tuned: Path) -> None:
    """The migration cost is told from /proc where the kernel has it there, even if debugfs says otherwise."""
    put(tuned, "sys/kernel/debug/sched/migration_cost_ns", "500000\n")
    expected = Fact("kernel.sched_migration_cost_ns", "50000", "/proc/sys/kernel/sched_migration_cost_ns")
    assert expected == seen(tuned)[1]["kernel.sched_migration_cost_ns"]
    assert amounts(tuned, catalog.MIGRATION_COST) == {"": 5e-05}


def test_migration_cost_as_code(tuned: Path) -> None:
    """A migration cost of -1 (never migrate) is a fact but no duration."""
    put(tuned, "proc/sys/kernel/sched_migration_cost_ns", "-1\n")
    assert seen(tuned)[1]["kernel.sched_migration_cost_ns"].value == "-1"
    assert amounts(tuned, catalog.MIGRATION_COST) == {}


def test_node_of_memory_only(tuned: Path) -> None:
    """A NUMA node without CPUs is told with an empty list."""
    put(tuned, f"{NODE}/node1/cpulist", "\n")
    assert seen(tuned)[1]["numa.cpus"].value == "0:0-1;1:"


def test_unread_node(tuned: Path) -> None:
    """The CPUs of the nodes are unreadable if those of one node are, and the fact names that node's file."""
    put(tuned, f"{NODE}/node1/cpulist", "two\n")
    expected = Fact("numa.cpus", None, "/sys/devices/system/node/node1/cpulist", "unexpected content")
    assert expected == seen(tuned)[1]["numa.cpus"]


def test_nothing_mounted(tmp_path: Path) -> None:
    """Without any file there are no readings, and every fact says why."""
    readings, facts = seen(tmp_path)
    assert readings == ()
    assert all(fact.value is None and fact.why for fact in facts.values())
