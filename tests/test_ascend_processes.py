"""Which devices vLLM uses is known from the processes that npu-smi lists: by their numbers, their parents or names."""

from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor.collect.ascend.processes import Process, descendants, processes, used
from monitor.collect.ascend.table import devices

CAPTURES = Path(__file__).parent / "captures" / "ascend"
NAMES = sorted(path.stem for path in CAPTURES.glob("info_*.txt"))
RAY = "info_910B2C_24.1.rc1_16npu_busy_ray-procs"
DIES = "info_A3-Ascend910_25.2.0_dual-die_dash-power"
NAMELESS = "info_910B1_24.1.0_idle_empty-process-name"

TABLE = """\
| NPU     Chip              | Process id    | Process name       | Process memory(MB)    | Process id in container |
+===========================+===============+======================================================================+
"""


def capture(name: str) -> str:
    """Give what the tool printed: the first line of a capture says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text().partition("\n")[2]


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each capture gives exactly the processes of its golden."""
    lines = [
        f"{one.npu}/{one.chip} {','.join(map(str, sorted(one.pids)))} {one.name!r}" for one in processes(capture(name))
    ]

    compare(CAPTURES / f"{name}.processes.golden", "".join(f"{line}\n" for line in lines))


def test_rows_of_each_layout() -> None:
    """A row tells NPU and chip or only the NPU, and of newer builds the number in the container too."""
    rows = (
        "| 0       1                 | 1504884       | VLLMWorker_TP      | 59000 | 412309 |",
        "| 7                         | 395864        | power test         | 5118                  |",
        "| No running processes found in NPU 1                                                            |",
        "| 2       0                 | NA            | x                  | 5118                  |",
    )

    assert (
        Process("0", "1", frozenset((1504884, 412309)), "VLLMWorker_TP"),
        Process("7", "", frozenset((395864,)), "power test"),
    ) == processes(TABLE + "\n".join(rows))


def test_rows_of_devices_are_no_processes() -> None:
    """Above the header of the processes there are none."""
    assert () == processes(capture(DIES).partition("| NPU     Chip ")[0])


def test_known_by_their_numbers() -> None:
    """A process that is known as vLLM's marks its device, by the name that the device has in the metrics."""
    found, names = processes(capture(DIES)), devices(capture(DIES))

    assert ("1/1",) == used(found, {990711}, names)
    assert () == used(found, {990712}, names)


def test_known_by_their_names() -> None:
    """What calls itself vLLM is vLLM's, and so is what Ray starts for it; a bare interpreter is nobody's."""
    found, names = processes(capture(RAY)), devices(capture(RAY))
    strangers = processes(TABLE + "| 0 0 | 5 | python3.1 | 5 | NA |\n| 1 0 | 6 | vllmx | 5 | NA |\n| 2 0 | 7 | | 5 |\n")

    assert tuple(map(str, range(16))) == used(found, (), names)
    assert () == used(strangers, (), names)


def test_device_that_is_not_listed() -> None:
    """A process on a device that the table does not list marks none."""
    assert () == used(processes(TABLE + "| 9 0 | 5 | VLLM | 5 | NA |\n"), {5}, devices(capture(NAMELESS)))


def stat(procfs: Path, pid: int, parent: int, name: str = "python3") -> None:
    (procfs / str(pid)).mkdir()
    (procfs / str(pid) / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0 -1 4194304 100 0 0 0\n")


def test_descendants(tmp_path: Path) -> None:
    """What a server started is the server's, however deep; numbers that nobody has are nobody's."""
    for pid, parent in ((10, 1), (11, 10), (12, 11), (20, 1), (21, 20)):
        stat(tmp_path, pid, parent)
    stat(tmp_path, 13, 12, "a) S 20 (b")

    assert frozenset((10, 12, 13)) == descendants(tmp_path, {10}, {10, 12, 13, 20, 21, 99, 1})


def test_descendants_of_a_broken_proc(tmp_path: Path) -> None:
    """A /proc that goes round in circles, or tells nonsense, ends all the same."""
    stat(tmp_path, 10, 11)
    stat(tmp_path, 11, 10)
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "stat").write_text("nonsense")

    assert frozenset() == descendants(tmp_path, {5}, {10, 12})


@given(
    st.text() | st.lists(st.text("0129| NA\t-vVL:", max_size=60) | st.just("| 0 0 | 12 | vllm | 5 |")).map("\n".join)
)
def test_any_text(text: str) -> None:
    """Whatever is printed, nothing is raised, and each process has a number and an NPU."""
    found = processes(TABLE + text)

    assert all(one.pids and one.npu.isdecimal() for one in found)
    assert set(used(found, {12}, ("0",))) <= {"0"}
