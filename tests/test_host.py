import json
import math
import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.host import Roots, look
from monitor.model import Fact, Reading

TREES = Path(__file__).parent / "captures" / "host"
NAMES = sorted(path.name for path in TREES.iterdir() if path.is_dir())
FILES = sorted(str(path.relative_to(TREES)) for path in TREES.rglob("*") if path.is_file() and path.parent != TREES)
CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"


def seen(tree: Path) -> tuple[tuple[Reading, ...], dict[str, Fact]]:
    readings, facts = look(Roots(tree / "proc", tree / "sys"), 1000.0)
    return readings, {fact.name: fact for fact in facts}


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
    readings, facts = look(Roots(TREES / name / "proc", TREES / name / "sys"), 1000.0)
    found = {"readings": [asdict(r) for r in readings], "facts": [asdict(f) for f in facts]}
    text = json.dumps(found, indent=1) + "\n"
    golden = TREES / f"{name}.json"
    if os.environ.get("MONITOR_TEST_GOLDENS") == "1":
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("name", NAMES)
def test_same_facts_everywhere(name: str) -> None:
    """Every fact is told on every node: with a value, or with why there is none."""
    _, facts = seen(TREES / name)
    assert {"cpu", "vm", "kernel", "thp", "numa"} == {fact.split(".")[0] for fact in facts}
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


@settings(deadline=None, max_examples=300)
@given(file=st.sampled_from(FILES), content=st.binary(max_size=64) | st.text("0189-,\n []:cpusome=").map(str.encode))
def test_garbage_never_raises(file: str, content: bytes) -> None:
    """Whatever bytes a file holds, a look succeeds, tells every fact, and all its numbers are finite."""
    name, _, _ = file.partition("/")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(shutil.copytree(TREES / name, Path(folder) / name))
        (tree.parent / file).write_bytes(content)
        readings, facts = seen(tree)
    assert all(math.isfinite(reading.value) and reading.value >= 0 for reading in readings)
    assert set(seen(TREES / name)[1]) == set(facts)


@pytest.mark.parametrize("content", ["", "\n", "lots\n", "60 60\n", "6e1\n", "nan\n", "9" * 400])
def test_malformed_number(tuned: Path, content: str) -> None:
    """A knob that does not hold one integer is unreadable, never zero."""
    put(tuned, "proc/sys/vm/swappiness", content)
    expected = Fact("vm.swappiness", None, "/proc/sys/vm/swappiness", "unexpected content")
    assert expected == seen(tuned)[1]["vm.swappiness"]
    assert amounts(tuned, catalog.SWAPPINESS) == {}


@pytest.mark.parametrize("file", FILES)
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
    """A governor is never told for all CPUs if one of them could not be read."""
    (tuned / CPU / "cpu3/cpufreq/scaling_governor").unlink()
    assert seen(tuned)[1]["cpu.governor"].value == "performance=3"


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
