"""The serving process as /proc shows it: the same facts everywhere, bounded, without secrets, now and then."""

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given, settings
from hypothesis import strategies as st
from trees import CAPTURES, captured, link, plant, put

from monitor import catalog, guides
from monitor.collect.process.look import EVERY, Address, Watch, servers
from monitor.collect.redact import LONGEST
from monitor.model import Fact, Reading
from monitor.tuning import drift
from monitor.tuning.ruling import Rulebook

REAL, ASCEND = "vllm-0.32_cpu", "ascend-0.7.3_container_traps"
TWO, SOPHGO = "dp2_two-servers_config-file", "sophgo-0.7.3_pythonpath-order"
ADDRESSES = {name: Address(9000 if name == ASCEND else 8000, loopback=True) for name in (REAL, ASCEND, TWO, SOPHGO)}
SECRETS = ("first-secret", "second-secret", "third-secret", "fourth", "fifthsecret", "sixth-secret", "hunter2")
ALL = {name for name in catalog.FACTS if name.startswith("process.")}

LINES = {
    1: b"/usr/bin/python3\0/usr/local/bin/vllm\0serve\0/models/tiny\0",
    2: b"python3\0-m\0vllm.entrypoints.openai.api_server\0--port\08000\0",
    3: b"VLLM::EngineCore\0\0\0\0",
    4: b"VLLM::Worker_TP0",
    5: b"/opt/vllm-monitor/bin/python\0/opt/vllm-monitor/bin/monitor\0serve\0",
    6: b"vllm-monitor\0",
    7: b"",
}

Seen = tuple[tuple[Reading, ...], dict[str, Fact]]


def seen(tree: Path, address: Address) -> Seen:
    readings, facts = Watch(tree / "proc", tree / "sys", address).look(1000.0)
    return readings, {fact.name: fact for fact in facts}


def told(name: str, tree: Path) -> dict[str, str | None]:
    return {key: fact.value for key, fact in seen(plant(captured(name), tree), ADDRESSES[name])[1].items()}


def test_servers(tmp_path: Path) -> None:
    """API servers, engines and workers are servers; the monitor itself and kernel threads are none."""
    for number, line in LINES.items():
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes(line)
    (tmp_path / "8").mkdir()
    (tmp_path / "sys").mkdir()

    assert [1, 2, 3, 4] == sorted(servers(tmp_path))


def test_unreadable_proc(tmp_path: Path) -> None:
    """Where there is no /proc no server is seen."""
    assert [] == list(servers(tmp_path / "nowhere"))


def test_every_capture_has_an_address() -> None:
    """Each captured tree is looked at."""
    assert set(ADDRESSES) == {path.stem for path in CAPTURES.glob("*.txt")}


@pytest.mark.parametrize("name", ADDRESSES)
def test_golden(name: str, tmp_path: Path) -> None:
    """Each captured tree gives exactly the readings and facts of its golden."""
    readings, facts = seen(plant(captured(name), tmp_path), ADDRESSES[name])
    lines = [*(json.dumps(asdict(one)) for one in readings), *(json.dumps(asdict(one)) for one in facts.values())]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", ADDRESSES)
def test_same_facts_everywhere(name: str, tmp_path: Path) -> None:
    """Every fact of the catalogue is told of every server, once: with a value, or with what stands in the way."""
    tree = plant(captured(name), tmp_path)
    readings, facts = Watch(tree / "proc", tree / "sys", ADDRESSES[name]).look(1000.0)

    own = {catalog.SOPHGO_REORDER_CACHE} if name == SOPHGO else set()
    assert sorted(ALL | own) == sorted(fact.name for fact in facts)
    assert all((fact.value is None) == bool(fact.why) and fact.value != "" for fact in facts)
    assert all(len(fact.value or "") <= LONGEST for fact in facts)
    assert all(catalog.METRICS[reading.metric].labels == ("target",) for reading in readings)


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_secret_is_told(name: str, tmp_path: Path) -> None:
    """Keys, tokens, passwords in addresses, and variables that nobody named stay where they are."""
    text = captured(name)
    said = str(seen(plant(text, tmp_path), ADDRESSES[name]))

    assert [] == [secret for secret in SECRETS if secret in said]
    assert "HOME=" not in said
    assert "/root/.cargo" not in said


def test_the_first_of_a_variable_set_twice_is_in_force(tmp_path: Path) -> None:
    """A variable that is there twice is told with both values; an option of the second one is not in force."""
    facts = told(ASCEND, tmp_path)

    assert "max_split_size_mb:250" == facts["process.env.PYTORCH_NPU_ALLOC_CONF"]
    assert "PYTORCH_NPU_ALLOC_CONF=max_split_size_mb:250 | expandable_segments:True" == facts["process.env_twice"]
    assert "250" == facts["process.env.PYTORCH_NPU_ALLOC_CONF.max_split_size_mb"]
    assert "unset" == facts["process.env.PYTORCH_NPU_ALLOC_CONF.expandable_segments"]


def test_set_to_nothing_differs_from_unset(tmp_path: Path) -> None:
    """A variable that is set to nothing says so; one that is not set is unset, which is a value, too."""
    facts = told(ASCEND, tmp_path)

    assert ("(empty)", "unset") == (facts["process.env.CPU_AFFINITY_CONF"], facts["process.env.CHIP_MAP"])


def test_what_the_server_set_itself_is_in_force(tmp_path: Path) -> None:
    """Variables that the server set before it started its engine and worker are told as those have them."""
    tree = plant(captured(REAL), tmp_path)
    _, facts = seen(tree, ADDRESSES[REAL])

    preload, threads = facts["process.env.LD_PRELOAD"], facts["process.env.OMP_NUM_THREADS"]
    assert "LD_PRELOAD" not in (tree / "proc/19741/environ").read_text()
    assert (preload.value or "").endswith("/torch/lib/libgomp.so.1")
    assert ("1", "/proc/20397/environ") == (threads.value, threads.path)


def test_an_overwritten_environment_is_not_unset(tmp_path: Path) -> None:
    """Where a title has overwritten the environment, what parents and engines have counts; the rest is unknown."""
    _, facts = seen(plant(captured(TWO), tmp_path), ADDRESSES[TWO])

    handed, added = facts["process.env.HCCL_BUFFSIZE"], facts["process.env.PYTORCH_NPU_ALLOC_CONF"]
    assert ("1024", "/proc/4999/environ") == (handed.value, handed.path)
    assert ("expandable_segments:True", "/proc/5004/environ") == (added.value, added.path)
    assert facts["process.env.TASK_QUEUE_ENABLE"].value is None
    assert "overwritten by the server's title" in facts["process.env.TASK_QUEUE_ENABLE"].why
    assert facts["process.env.MASTER_PORT"].value is None, "an engine's own port differs at each start"


def test_arguments_of_a_file_and_of_the_command_line(tmp_path: Path) -> None:
    """Arguments in the file that --config names count; those on the command line win; what is unreadable says so."""
    _, facts = seen(plant(captured(TWO), tmp_path), ADDRESSES[TWO])

    assert {"2", "fp8", "8000", "true"} == {
        facts[f"process.arg.{name}"].value
        for name in ("tensor-parallel-size", "kv-cache-dtype", "port", "enable-prefix-caching")
    }
    assert facts["process.arg.compilation-config"].value is None
    assert "unset" == facts["process.arg.dtype"].value
    (tmp_path / "proc/5000/root/srv/serve.yaml").unlink()
    _, without = seen(tmp_path, ADDRESSES[TWO])
    assert without["process.arg.dtype"].value is None
    assert "may be in the file that --config names: no /srv/serve.yaml" == without["process.arg.dtype"].why


def test_a_file_of_another_root_is_not_ours(tmp_path: Path) -> None:
    """Links in the server's root lead where they lead there: never to files of ours of the same name."""
    tree = plant(captured(ASCEND), tmp_path)
    real = tree / "proc/4100/root/usr/local/Ascend/ascend-toolkit/latest"
    outside = put_outside(tmp_path)
    real.unlink()
    link(real, str(outside))
    _, facts = seen(tree, ADDRESSES[ASCEND])

    assert "absent" == facts["process.cann"].value


def put_outside(folder: Path) -> Path:
    put(folder / "outside/aarch64-linux/ascend_toolkit_install.info", "version=9.9\n")
    return folder / "outside"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "none"),
        ("LD_PRELOAD=/usr/lib/aarch64-linux-gnu/libtcmalloc.so.4", "sound"),
        ("LD_PRELOAD=libtcmalloc.so.4 $LIB/libtcmalloc.so", "sound"),
        ("LD_PRELOAD=/usr/lib/other.so", "not mapped: /usr/lib/other.so"),
        ("LD_PRELOAD=/usr/lib/gone.so", "missing: /usr/lib/gone.so"),
    ],
)
def test_preload(lines: str, expected: str, tmp_path: Path) -> None:
    """What LD_PRELOAD names is there and mapped, links followed; or it is said which file is not."""
    text = "\n".join(
        lines if line.startswith("LD_PRELOAD") else line
        for line in captured(ASCEND).splitlines()
        if lines or not line.startswith("LD_PRELOAD")
    )
    tree = plant(text, tmp_path)
    put(tree / "proc/4100/root/usr/lib/other.so", "ELF")

    assert expected == seen(tree, ADDRESSES[ASCEND])[1]["process.preload"].value


def test_two_allocators(tmp_path: Path) -> None:
    """Two allocators in one process are told, and are no sound preload; so is one that the whole system preloads."""
    tree = plant(captured(REAL), tmp_path)
    with (tree / "proc/19741/maps").open("a") as maps:
        for at, name in enumerate(("libjemalloc.so.2", "libtcmalloc_minimal.so.4.5.9")):
            maps.write(f"7ffc{at}000-7ffc{at}fff r-xp 00000000 fe:00 {at} /usr/lib/{name}\n")
    put(tree / "proc/19741/root/etc/ld.so.preload", "/usr/lib/libjemalloc.so.2\n")
    _, facts = seen(tree, ADDRESSES[REAL])

    assert "server=jemalloc+tcmalloc engine=libc worker=libc" == facts["process.allocator"].value
    assert "two allocators: jemalloc and tcmalloc; missing: /usr/lib/libjemalloc.so.2" == facts["process.preload"].value


def test_pgo_is_what_was_configured(tmp_path: Path) -> None:
    """The flag for using profiles, which every build has, is no sign of a build with profiles."""
    text = captured(REAL)

    assert "PGO_PROF_USE_FLAG" in text
    assert "no" == told(REAL, tmp_path)["process.python.pgo"]


def test_a_build_that_keeps_no_record(tmp_path: Path) -> None:
    """Debian optimises its Python without saying so: that it was not configured for it is no proof that it is not."""
    tree = plant(captured(SOPHGO), tmp_path)
    data = tree / "proc/7000/root/usr/lib/python3.10/_sysconfigdata__x86_64-linux-gnu.py"
    put(data, " 'CC': 'gcc',\n 'CONFIG_ARGS': '--prefix=/usr --with-wheel-pkg-dir=/usr/share/python-wheels/'}\n")
    _, debian = seen(tree, ADDRESSES[SOPHGO])
    put(data, " 'CC': 'gcc',\n 'CONFIG_ARGS': 7}\n")
    _, strange = seen(tree, ADDRESSES[SOPHGO])

    assert (None, "gcc") == (debian["process.python.lto"].value, debian["process.python.compiler"].value)
    assert debian["process.python.pgo"].why.startswith("Debian and Ubuntu optimise")
    assert strange["process.python.pgo"].why.startswith("_sysconfigdata__x86_64-linux-gnu.py tells no CONFIG_ARGS")


def test_a_chroot(tmp_path: Path) -> None:
    """Paths that the kernel tells of a process in a chroot are read as the process says them."""
    tree = plant(captured(SOPHGO), tmp_path)
    _, before = seen(tree, ADDRESSES[SOPHGO])
    root = tree / "proc/7000/root"
    root.rename(tree / "jail")
    link(root, str(tree / "jail"))
    link(tree / "proc/7000/exe", f"{tree}/jail/usr/bin/python3.10")
    maps = (tree / "proc/7000/maps").read_text()
    put(tree / "proc/7000/maps", maps.replace(" /usr/", f" {tree}/jail/usr/"))

    assert before == seen(tree, ADDRESSES[SOPHGO])[1]


def test_a_quota_is_the_least_of_all_levels(tmp_path: Path) -> None:
    """Of nested control groups the tightest counts; no limit at all is a value."""
    tree = plant(captured(ASCEND), tmp_path)
    found = []
    for above in ("100000 100000", "800000 100000", "max 100000", "nonsense", "5 0"):
        put(tree / "sys/fs/cgroup/system.slice/cpu.max", above)
        found.append(seen(tree, ADDRESSES[ASCEND])[1]["process.cpu_quota"].value)
    put(tree / "sys/fs/cgroup/system.slice/docker-4100.scope/cpu.max", "max 100000\n")
    found.append(seen(tree, ADDRESSES[ASCEND])[1]["process.cpu_quota"].value)

    assert ["1", "4", "4", "4", "4", "none"] == found


def test_a_quota_as_the_container_sees_it(tmp_path: Path) -> None:
    """Where the host's control groups are not mounted here, those that the server's container sees count."""
    tree = plant(captured(ASCEND), tmp_path)
    shutil.rmtree(tree / "sys")
    without = seen(tree, ADDRESSES[ASCEND])[1]["process.cpu_quota"]
    put(tree / "proc/4100/root/sys/fs/cgroup/cgroup.procs", "1\n")
    put(tree / "proc/4100/root/sys/fs/cgroup/cpu.max", "150000 100000\n")
    within = seen(tree, ADDRESSES[ASCEND])[1]["process.cpu_quota"]
    put(tree / "proc/1/mountinfo", (tree / "proc/4100/mountinfo").read_text())
    bare = seen(tree, ADDRESSES[ASCEND])[1]["process.cpu_quota"]

    assert (None, "1.5", None) == (without.value, within.value, bare.value)
    assert bare.why.startswith("needs: /sys of the host")


def test_shared_memory_without_a_size_is_measured(tmp_path: Path) -> None:
    """A mount that does not tell its size is asked for it; one on top of another is the one that counts."""
    tree = plant(captured(REAL), tmp_path)
    (tree / "proc/19741/root/dev/shm").mkdir(parents=True)
    put(tree / "proc/19741/mountinfo", "25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw\n")
    measured = seen(tree, ADDRESSES[REAL])[1]["process.shm_bytes"].value
    put(
        tree / "proc/19741/mountinfo",
        "1 2 0:3 / /dev/shm rw - t t rw,size=1g\n2 2 0:3 / /dev/shm rw - t t rw,size=7k\n",
    )

    assert int(measured or "0") == shutil.disk_usage(tree).total
    assert str(7 << 10) == seen(tree, ADDRESSES[REAL])[1]["process.shm_bytes"].value


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Where no server is found that is one fact, unreadable, which says what to add; the look does not fail."""
    (tmp_path / "proc").mkdir()
    readings, facts = seen(tmp_path, Address(8000, loopback=True))

    assert ((), ["process.pid"]) == (readings, [*facts])
    assert facts["process.pid"].value is None
    assert "mount the host's /proc" in facts["process.pid"].why


def test_looks_now_and_then(tmp_path: Path) -> None:
    """Of several looks at the same process one is real; when it ended, the next one is."""
    tree = plant(captured(REAL), tmp_path)
    watch = Watch(tree / "proc", tree / "sys", ADDRESSES[REAL])
    first = watch.look(1.0)
    put(tree / "proc/19741/limits", "Max open files            7                    7                    files\n")

    assert [first] * (EVERY - 1) == [watch.look(2.0 + at) for at in range(EVERY - 1)]
    assert {"7"} == {fact.value for fact in watch.look(9.0)[1]} & {"7"}

    put(tree / "proc/19741/limits", "Max open files            8                    8                    files\n")
    start = (tree / "proc/19741/stat").read_text()
    put(tree / "proc/19741/stat", start.replace(" 1213170 ", " 1213171 "))
    assert "8" in {fact.value for fact in watch.look(10.0)[1]}


def test_a_server_that_ends_and_comes_back(tmp_path: Path) -> None:
    """A server that ended is told at the next look; its return at the next that is real."""
    tree = plant(captured(REAL), tmp_path)
    watch = Watch(tree / "proc", tree / "sys", ADDRESSES[REAL])
    before = watch.look(1.0)
    (tree / "proc/19741").rename(tree / "proc/gone")
    (_, (missing,)) = watch.look(2.0)
    (tree / "proc/gone").rename(tree / "proc/19741")
    after = [watch.look(3.0 + at) for at in range(EVERY)]

    assert missing.value is None
    assert [((), (missing,))] * (EVERY - 1) == after[:-1]
    assert [fact.value for fact in before[1]] == [fact.value for fact in after[-1][1]]


def test_what_is_found_is_no_drift() -> None:
    """The process's number and how it was found change with each start: nobody tunes them."""
    before = (Fact(catalog.PROCESS_PID, "1"), Fact(catalog.PROCESS_FOUND, "a"), Fact(catalog.PROCESS_NOFILE, "1024"))
    after = (Fact(catalog.PROCESS_PID, "2"), Fact(catalog.PROCESS_FOUND, "b"), Fact(catalog.PROCESS_NOFILE, "64"))

    assert ["process.nofile"] == [found.subject for found in drift.drift("llama", before, after, Rulebook((), {}))]


def test_the_tables_have_no_double() -> None:
    """Each variable, argument and package is named once, and each alias leads to an argument."""
    for table in (guides.VARIABLES, guides.ARGUMENTS, guides.PACKAGES, guides.OPTIONS, guides.KEYS):
        assert len(table) == len(set(table))
    assert set(guides.ALIASES.values()) <= set(guides.ARGUMENTS)
    assert {name for name, _ in guides.KEYS} <= set(guides.ARGUMENTS)
    assert {name for name, _ in guides.OPTIONS} <= set(guides.VARIABLES)


TEXTS = {name: captured(name).splitlines() for name in ADDRESSES}
CHANGES = st.sampled_from(("drop", "cut", "double", "noise", "swap"))


def mutated(lines: list[str], at: int, change: str, noise: str) -> str:
    """Damage one line of a captured tree that is no mark."""
    lines = [*lines]
    at = next((n for n in range(at % len(lines), len(lines)) if lines[n][:2] not in {"==", "=0", "->", "@ "}), 0)
    line = lines[at]
    lines[at : at + 1] = {
        "drop": [],
        "cut": [line[: len(line) // 2]],
        "double": [line, line],
        "noise": [line[: len(line) // 3] + noise + line[len(line) // 3 :]],
        "swap": [" ".join(reversed(line.split(" ")))],
    }[change]
    return "\n".join(lines)


@pytest.mark.parametrize("name", [ASCEND, TWO])
def test_any_file_may_be_missing_or_a_folder(name: str, tmp_path: Path) -> None:
    """A file that is not there, or is none, costs what it holds; nothing is made up in its place."""
    tree = plant(captured(name), tmp_path)
    _, whole = seen(tree, ADDRESSES[name])
    for file in [path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()]:
        aside = file.rename(file.with_name("aside"))
        missing = seen(tree, ADDRESSES[name])[1]
        file.mkdir()
        folder = seen(tree, ADDRESSES[name])[1]
        file.rmdir()
        aside.rename(file)
        for facts in (missing, folder):
            assert set(facts) <= set(whole)
            assert all((fact.value is None) == bool(fact.why) for fact in facts.values())


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(ADDRESSES)),
    at=st.integers(0, 400),
    change=CHANGES,
    noise=st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=40),
)
def test_damage_never_raises(name: str, at: int, change: str, noise: str) -> None:
    """Whatever one line of these files becomes, a look succeeds; what it tells is bounded, and told once."""
    with tempfile.TemporaryDirectory() as folder:
        tree = plant(mutated(TEXTS[name], at, change, noise), Path(folder))
        readings, facts = Watch(tree / "proc", tree / "sys", ADDRESSES[name]).look(1.0)

    names = [fact.name for fact in facts]
    assert set(names) <= ALL | {catalog.SOPHGO_REORDER_CACHE}
    assert len(names) == len(set(names))
    assert all((fact.value is None) == bool(fact.why) for fact in facts)
    assert all(len(fact.value or "") <= LONGEST for fact in facts)
    assert all(0 <= reading.value < float("inf") for reading in readings)
