"""The script that mends a host: it does what it says, it says what it cannot do, and no value becomes a command."""

from dataclasses import replace
from pathlib import Path

import pytest
from box import Box
from examples import AT
from hypothesis import given
from hypothesis import strategies as st
from tools import checked

from monitor.model import Condition, Rule, Ruling
from monitor.script import restart, shell
from monitor.script.write import Occasion, write
from monitor.tuning.report import Shared

OCCASION = Occasion(AT, "gpu7", ("llama (http://localhost:8000)",))
SWAPPINESS = Rule(
    id="host.swappiness",
    profile="host",
    ask=Condition("vm.swappiness", "at most", ("1",)),
    where=(),
    severity="warning",
    why="swapping costs seconds",
    fix="sysctl -w vm.swappiness=0",
    guide="ascend 5.2",
    run="sysctl -w vm.swappiness=0",
    keep="sysctl",
)
GOVERNORS = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
GOVERNOR = replace(
    SWAPPINESS,
    id="host.governor",
    ask=Condition("cpu.governor", "is", ("performance",)),
    run=f'for file in {GOVERNORS}; do\n    echo performance >"$file"\ndone\n',
    keep="unit",
)
THP = replace(
    SWAPPINESS,
    id="host.thp",
    ask=Condition("thp.enabled", "one of", ("always", "madvise")),
    run="echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
    keep="",
)
CLOCKS = replace(SWAPPINESS, id="nvidia.clocks", run="nvidia-smi -rac", keep="", verify="nvidia-smi -q -d CLOCK")
QUEUE = replace(
    SWAPPINESS,
    id="ascend.task-queue",
    ask=Condition("process.env.TASK_QUEUE_ENABLE", "is", ("2",)),
    fix="raise it",
    run="",
    keep="",
)
WRONG = (
    Ruling(SWAPPINESS, "mismatch", "60", "/proc/sys/vm/swappiness"),
    Ruling(GOVERNOR, "mismatch", "performance=1,powersave=1", GOVERNORS),
    Ruling(THP, "mismatch", "never", "/sys/kernel/mm/transparent_hugepage/enabled"),
)


def rows(*rulings: Ruling, accepted: bool = False) -> list[Shared]:
    return [Shared(("llama",), one, accepted) for one in rulings]


def script(*rulings: Ruling) -> str:
    return write(rows(*rulings), OCCASION)


def commands(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.startswith("#")]


@pytest.fixture
def box(tmp_path: Path) -> Box:
    made = Box(tmp_path / "host")
    made.put("/proc/sys/vm/swappiness", "60\n")
    made.put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n")
    for cpu, governor in enumerate(("performance", "powersave")):
        made.put(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", f"{governor}\n")
    return made


def test_it_mends_and_verifies(box: Box) -> None:
    """What was wrong is right afterwards; only verifying changes nothing and says so before and after."""
    text = script(*WRONG)
    before = box.run(text, "--verify")
    untouched = box.get("/proc/sys/vm/swappiness")
    mended = box.run(text)
    after = box.run(text, "--verify")

    swappiness, governor = (f"{box.root}{one}" for one in ("/proc/sys/vm/swappiness", GOVERNORS.replace("*", "1")))
    thp = f"{box.root}/sys/kernel/mm/transparent_hugepage/enabled"
    assert [
        f"DIFFERS host.swappiness: {swappiness} is 60",
        f"DIFFERS host.governor: {governor} is powersave",
        f"DIFFERS host.thp: {thp} is never",
    ] == before.stdout.splitlines()
    fine = ["OK      host.swappiness", "OK      host.governor", "OK      host.thp"]
    assert (1, "60\n") == (before.returncode, untouched)
    assert (0, "", [f"mending {one[8:]}" for one in fine] + fine) == (
        mended.returncode,
        mended.stderr,
        mended.stdout.splitlines(),
    )
    assert (0, "", fine) == (after.returncode, after.stderr, after.stdout.splitlines())
    assert "0\n" == box.get("/proc/sys/vm/swappiness")


def test_what_is_mended_lasts(box: Box) -> None:
    """A line of sysctl.d, and a part of a unit that runs the commands at start; both can be mended again."""
    for _ in range(2):
        box.run(script(*WRONG))
    box.run(script(Ruling(replace(SWAPPINESS, run="sysctl -w vm.zone_reclaim_mode=0"), "mismatch", "1", "/x")))

    assert "vm.swappiness = 0\nvm.zone_reclaim_mode = 0\n" == box.get(shell.SYSCTL_FILE)
    part = box.get(f"{shell.UNIT_FILE}.d/host.governor.conf")
    assert ["[Service]", f'ExecStart=-/bin/sh -c "for file in {box.root}{GOVERNORS}; do\\n'] == [
        line.partition("    ")[0] for line in part.splitlines()
    ]
    assert 'echo performance >\\"$$file\\"\\ndone"\n' in part
    assert "WantedBy=multi-user.target" in box.get(shell.UNIT_FILE)
    assert ["daemon-reload", f"enable {shell.UNIT}"] * 2 == box.get("/etc/systemctl.log").splitlines()


def test_systemd_likes_the_unit(box: Box) -> None:
    """The unit with its parts is one that systemd takes; of other units of this machine it may say what it wants."""
    box.run(script(*WRONG))
    code, _, said = checked("", "systemd", "systemd-analyze", "verify", "--man=no", f"{box.root}{shell.UNIT_FILE}")

    assert (0, []) == (code, [line for line in said.splitlines() if shell.UNIT in line])


def test_shellcheck_likes_the_script() -> None:
    """A script with all its parts is POSIX shell without a trap that is known."""
    text = script(*WRONG, Ruling(CLOCKS, "mismatch", "capped", "nvidia-smi"), Ruling(QUEUE, "mismatch", "unset", "/x"))

    assert (0, "", "") == checked(text, "shellcheck", "shellcheck", "--shell=sh", "-")


def test_what_fails_stops_nothing_else(box: Box) -> None:
    """A rule whose commands fail is told, also when it cannot be verified by reading; the others have their turn."""
    broken = replace(CLOCKS, run="no-such-tool\necho not reached")
    result = box.run(script(Ruling(broken, "mismatch", "capped", "nvidia-smi"), WRONG[0]))

    assert 1 == result.returncode
    assert "FAILED  nvidia.clocks" == result.stderr.splitlines()[-1]
    assert ["mending nvidia.clocks", "mending host.swappiness"] == result.stdout.splitlines()[:2]
    assert ["BY HAND nvidia.clocks: nvidia-smi -q -d CLOCK", "OK      host.swappiness"] == result.stdout.splitlines()[
        2:
    ]


def test_without_root(tmp_path: Path) -> None:
    """Who is not root is told so, and nothing is tried; verifying needs no root."""
    box = Box(tmp_path / "host", uid=1000)
    box.put("/proc/sys/vm/swappiness", "0\n")
    text = script(*WRONG[:1])
    refused, usage, verified = box.run(text), box.run(text, "--help"), box.run(text, "--verify")

    assert (2, "", "run this as root, on the host itself\n") == (refused.returncode, refused.stdout, refused.stderr)
    assert (2, f"usage: sh {box.root}/script.sh [--verify]\n") == (usage.returncode, usage.stderr)
    assert (0, "OK      host.swappiness\n") == (verified.returncode, verified.stdout)


def test_a_file_that_is_not_there_differs(tmp_path: Path) -> None:
    """What cannot be read is not verified."""
    result = Box(tmp_path / "host").run(script(WRONG[1]), "--verify")

    assert (1, True) == (result.returncode, result.stdout.endswith("cpu*/cpufreq/scaling_governor is unreadable\n"))


@pytest.mark.parametrize(
    ("op", "want", "good", "bad"),
    [
        ("is", ("0",), "0", "1"),
        ("is not", ("0",), "1", "0"),
        ("one of", ("0", "2"), "2", "1"),
        ("at least", ("10",), "10", "9"),
        ("at most", ("10",), "10", "11"),
        ("at most", ("10",), "10", "ten"),
        ("in range", ("50000", "100000"), "50000", "500000"),
        ("in range", ("50000", "100000"), "100000", "100001"),
    ],
)
def test_verifying_compares_as_rules_do(tmp_path: Path, op: str, want: tuple[str, ...], good: str, bad: str) -> None:
    """Each operator that a shell can compare says what the rule says."""
    rule = replace(SWAPPINESS, ask=Condition("vm.swappiness", op, want))  # type: ignore[arg-type] # one of the operators
    text = script(Ruling(rule, "mismatch", bad, "/proc/sys/vm/swappiness"))
    box = Box(tmp_path / "host")
    codes = []
    for value in (good, bad):
        box.put("/proc/sys/vm/swappiness", f"{value}\n")
        codes.append(box.run(text, "--verify").returncode)

    assert [0, 1] == codes


EVIL = (
    "x\n touch evil",
    "$(touch evil)",
    "`touch evil`",
    "'; touch evil; '",
    "END\ntouch evil",
    "\r\ntouch evil",
    "\u2028touch evil",
    "\x1b[2J\\\ntouch evil",
)


@pytest.mark.parametrize("evil", EVIL)
def test_no_value_becomes_a_command(box: Box, evil: str) -> None:
    """What other processes say, in any place where it can get to, is a remark."""
    occasion = Occasion(AT, evil, (evil,), (evil,))
    wrong = [replace(one, actual=evil) for one in WRONG]
    queue = Ruling(QUEUE, "mismatch", evil, evil)
    by_hand = Ruling(replace(QUEUE, ask=Condition("vm.swappiness", "is", ("2",))), "mismatch", evil, evil)
    hidden = Ruling(QUEUE, "unreadable", "", evil, evil)
    entries = [*rows(*wrong, queue, by_hand, hidden), *rows(queue, accepted=True)]
    result = box.run(write([replace(one, targets=(evil,)) for one in entries], occasion))

    assert (0, "") == (result.returncode, result.stderr)
    assert [] == list(box.root.rglob("*evil*"))


@given(actual=st.text(), why=st.text(), path=st.text(), said=st.text())
def test_commands_come_from_rules_alone(actual: str, why: str, path: str, said: str) -> None:
    """Whatever was read, wherever, the commands are the same."""
    plain = write(rows(*WRONG, Ruling(QUEUE, "unreadable", "", "", "why")), OCCASION)
    wrong = [replace(one, actual=actual) for one in WRONG]
    dirty = rows(*wrong, Ruling(QUEUE, "unreadable", "", path, why), Ruling(QUEUE, "mismatch", actual, path))
    text = write(dirty, Occasion(AT, said, (said,), (said,)))

    assert commands(plain) == commands(text)
    assert {"\n"} == {letter for letter in text if not letter.isprintable()}


def test_a_rule_with_odd_names(box: Box) -> None:
    """An operator's own rule may be called anything: it is quoted, and its file stays in its folder."""
    odd = replace(GOVERNOR, id="team./../a b'$(touch evil)", run="cat <<'END'\n[never]\nEND")
    result = box.run(script(Ruling(odd, "mismatch", "x", GOVERNORS)))

    assert "mending team./../a b'$(touch evil)" == result.stdout.splitlines()[0]
    folder = Path(f"{box.root}{shell.UNIT_FILE}.d")
    assert [folder / "team.-..-a-b---touch-evil-.conf"] == list(folder.iterdir())
    assert not (box.root / "evil").exists()


def test_what_needs_a_restart() -> None:
    """A server's variables and arguments stand as remarks, exactly as they are to be written."""
    text = script(Ruling(QUEUE, "mismatch", "unset", "/proc/7/environ"))

    assert "# -- ascend.task-queue of llama: process.env.TASK_QUEUE_ENABLE is unset, should be 2 (warning)\n" in text
    assert {"# fix: raise it", "# export TASK_QUEUE_ENABLE=2"} <= set(text.splitlines())
    assert "# No setting of this host is to be mended by a command." in text
    assert "sysctl" not in text


@pytest.mark.parametrize(
    ("fact", "op", "want", "expected"),
    [
        ("process.env.TASK_QUEUE_ENABLE", "is", "2", "export TASK_QUEUE_ENABLE=2"),
        ("process.env.LD_PRELOAD", "is", "/a b.so", "export LD_PRELOAD='/a b.so'"),
        ("process.env.ENABLE_PROFILE", "absent", "", "unset ENABLE_PROFILE"),
        ("process.env.LD_PRELOAD", "contains", "tcmalloc", ""),
        ("process.env.PYTORCH_NPU_ALLOC_CONF.max_split_size_mb", "is", "250", ""),
        ("process.arg.max-num-seqs", "at least", "256", "--max-num-seqs 256"),
        ("process.arg.enforce-eager", "is", "true", "--enforce-eager"),
        ("process.arg.enable-prefix-caching", "is", "false", "--no-enable-prefix-caching"),
        ("process.arg.disable-log-stats", "absent", "", "without --disable-log-stats"),
        ("effective.tensor_parallel_size", "at least", "2", "--tensor-parallel-size 2"),
        ("effective.cudagraph_mode", "is", "FULL_DECODE_ONLY", ""),
        ("process.shm_bytes", "at least", "1073741824", ""),
    ],
)
def test_lines_for_a_restart(fact: str, op: str, want: str, expected: str) -> None:
    """A variable is exported, a flag has no value, and what is a part of something larger has no line of its own."""
    ask = Condition(fact, op, (want,) if want else ())  # type: ignore[arg-type] # one of the operators

    assert (expected, True) == (restart.line(ask), restart.needs_restart(fact))


def test_what_is_left_to_people() -> None:
    """What was accepted is left alone, what is unreadable says what it needs, once for all rules that need it."""
    needs = "needs: SYS_PTRACE"
    unread = [Ruling(replace(QUEUE, id=name), "unreadable", "", "/proc/7/environ", needs) for name in ("a.b", "c.d")]
    entries = [*rows(*WRONG[:1], accepted=True), *rows(*unread, Ruling(THP, "match", "madvise", "/x"))]
    text = write(entries, replace(OCCASION, missing=("vllm of llama: refused",)))

    assert "# host.swappiness of llama: vm.swappiness is 60, should be at most 1 (warning)" in text.splitlines()
    assert "# a.b, c.d: needs: SYS_PTRACE" in text.splitlines()
    assert "# vllm of llama: refused" in text.splitlines()
    assert "host.thp" not in text
    assert not [line for line in commands(text) if "swappiness" in line]


def test_a_rule_that_servers_see_differently() -> None:
    """What mends the host is done once, whatever each server sees of it."""
    entries = [Shared((name,), replace(WRONG[0], actual=name), accepted=False) for name in ("a", "b")]

    assert 1 == write(entries, OCCASION).count("\nmend ")


def test_where_a_text_ends() -> None:
    """A text that is fed to a command may hold the word by which such texts end."""
    assert "cat <<'END__'\nEND\nEND_\nEND__\n" == shell.fed("cat", "END\nEND_\n")
