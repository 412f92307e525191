"""A look at Ascend NPUs: one table each time, details now and then, and never longer than it may take."""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from monitor import catalog
from monitor.collect.ascend.look import Ascend, parse
from monitor.collect.ascend.rounds import OLD, Rounds
from monitor.collect.fetch import LookError
from monitor.collect.registry import run
from monitor.model import Fact, Reading

CAPTURES = Path(__file__).parent / "captures" / "ascend"
DIES = "info_A3-Ascend910_25.2.0_dual-die_dash-power"
NEWEST = "info_A5-doc_97wide"
COMMON = "info-t-common-i1_310P-300IDuo_2chip+mcu"
USAGES = "info-t-usages-i1_310P-300IDuo_2chip"
ECC = "info-t-ecc-i0_A3_2chip_counts_SYNTHETIC"

Write = Callable[[dict[str, str]], None]


def capture(name: str) -> str:
    """Give what the tool printed: the first line of a capture says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text().partition("\n")[2]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def tool(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Put an npu-smi on the PATH that does, by its arguments, what a shell is told."""
    path = tmp_path / "npu-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")

    def write(does: dict[str, str]) -> None:
        cases = "".join(f'"{arguments}") {what} ;;\n' for arguments, what in does.items())
        path.write_text(f'#!/bin/sh\necho "$*" >> "{runs}"\ncase "$*" in\n{cases}*) echo unknown; exit 2 ;;\nesac\n')
        path.chmod(0o755)

    return write


def ran(runs: Path) -> list[str]:
    """Give the arguments of each call so far."""
    return runs.read_text().splitlines()


def prints(name: str) -> str:
    return f'tail -n +2 "{CAPTURES / name}.txt"'


def details(
    npus: Collection[str], common: str = prints(COMMON), usages: str = prints(USAGES), ecc: str = prints(ECC)
) -> dict[str, str]:
    queries = {"common": common, "usages": usages, "ecc": ecc}
    return {f"info -t {query} -i {npu}": what for npu in npus for query, what in queries.items()}


def values(seen: tuple[tuple[Reading, ...], tuple[Fact, ...]], metric: str) -> dict[str, float]:
    return {dict(one.labels)["device"]: one.value for one in seen[0] if one.metric == metric}


def errors(seen: tuple[tuple[Reading, ...], tuple[Fact, ...]], device: str) -> dict[str, float]:
    told = [(dict(one.labels), one.value) for one in seen[0] if one.metric == catalog.DEVICE_ECC_ERRORS]
    return {pairs["reason"]: value for pairs, value in told if pairs["device"] == device}


def known(seen: tuple[tuple[Reading, ...], tuple[Fact, ...]]) -> dict[str, Fact]:
    return {fact.name: fact for fact in seen[1]}


async def test_table_and_details(tool: Write, runs: Path) -> None:
    """A look gives the table and, NPU by NPU, each die's clock and errors, by the names that the table gives them."""
    tool({"info": prints(DIES), **details("01")})

    seen = await Ascend().look(7.0)

    assert set(parse(capture(DIES), 7.0)[0]) <= set(seen[0])
    assert dict.fromkeys(("0/0", "0/1", "1/0", "1/1"), 960e6) == values(seen, catalog.DEVICE_CLOCK)
    assert dict.fromkeys(("0/0", "0/1", "1/0", "1/1"), 1080e6) == values(seen, catalog.DEVICE_CLOCK_MAX)
    assert "1080 MHz" == known(seen)[catalog.ASCEND_CLOCK].value
    assert {"corrected": 17.0, "uncorrected": 1.0} == errors(seen, "1/0")
    assert {"corrected": 0.0, "uncorrected": 0.0} == errors(seen, "1/1")
    assert {} == values(seen, catalog.DEVICE_AGE)
    assert ["info", *details("01")] == ran(runs)


async def test_readings_fit_the_catalogue(tool: Write) -> None:
    """Every reading is a catalogued metric with its labels, and none is given twice."""
    tool({"info": prints(DIES), **details("01")})
    ascend = Ascend()
    await ascend.look(7.0)

    readings, facts = await ascend.look(22.0)

    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)
    assert {fact.name for fact in facts} <= set(catalog.FACTS)
    assert all((fact.value is None) == bool(fact.why) for fact in facts)


async def test_chip_is_never_asked_for(tool: Write) -> None:
    """The newest generation refuses to be asked for chips; its one chip is the NPU."""
    newest = details("0", prints("info-t-common-i0_A5-doc"), prints("info-t-usages-i0_A5-doc"))
    tool({"info": prints(NEWEST), **newest})

    seen = await Ascend().look(7.0)

    assert {"0": 100e6} == values(seen, catalog.DEVICE_CLOCK)
    assert {"0": 1650e6} == values(seen, catalog.DEVICE_CLOCK_MAX)


async def test_details_only_now_and_then(tool: Write, runs: Path) -> None:
    """Between two rounds what was told is told again, with its own time; the oldest figure is the device's age."""
    tool({"info": prints(DIES), **details("01")})
    ascend = Ascend()
    seen = [await ascend.look(at) for at in (0.0, 15.0, 30.0, 45.0, 60.0)]

    assert ["info", *details("01"), *["info"] * 4, "info -t common -i 0"] == ran(runs)
    assert dict.fromkeys(("0/0", "0/1", "1/0", "1/1"), 45.0) == values(seen[3], catalog.DEVICE_AGE)
    assert {0.0} == {one.at for one in seen[3][0] if one.metric == catalog.DEVICE_CLOCK}
    times = {dict(one.labels)["device"]: one.at for one in seen[4][0] if one.metric == catalog.DEVICE_CLOCK}
    assert {"0/0": 60.0, "0/1": 60.0, "1/0": 0.0, "1/1": 0.0} == times
    assert dict.fromkeys(("0/0", "0/1", "1/0", "1/1"), 60.0) == values(seen[4], catalog.DEVICE_AGE)


async def test_details_that_fail(tool: Write) -> None:
    """An NPU whose details fail keeps its row of the table; the clock is not told, and says why."""
    lost = "echo 'dcmi call failed. ret is -8255'; exit 193"
    tool({"info": prints(DIES), **details("0"), **details("1", lost, lost, lost)})

    seen = await Ascend().look(7.0)

    assert {"0/0", "0/1"} == set(values(seen, catalog.DEVICE_CLOCK))
    assert 4 == len(values(seen, catalog.DEVICE_TEMPERATURE))
    assert "npu-smi fails with -8255: this device does not support it" == known(seen)[catalog.ASCEND_CLOCK].why


async def test_a_part_of_the_details(tool: Write) -> None:
    """What one query tells is told though the others fail; of two that tell the same the later one counts, once."""
    busy = f"{prints(USAGES)} | sed 's/Aicore Usage Rate(%)           : 0/Aicore Usage Rate(%) : 30/'"
    tool({"info": prints(DIES), **details("0", usages="exit 1"), **details("1", usages=busy, ecc="exit 1")})

    seen = await Ascend().look(7.0)

    units = [dict(one.labels) | {"": one.value} for one in seen[0] if one.metric == catalog.DEVICE_UNIT_UTILIZATION]
    cores = {str(unit["device"]): unit[""] for unit in units if unit["unit"] == "aicore"}
    assert 4 == len(values(seen, catalog.DEVICE_CLOCK))
    assert {"1/0", "1/1"} == set(values(seen, catalog.DEVICE_MEMORY_BANDWIDTH))
    assert {"0/0": 0.0, "0/1": 0.0, "1/0": 0.3, "1/1": 0.3} == cores
    assert ({}, {"corrected": 17.0, "uncorrected": 1.0}) == (errors(seen, "1/0"), errors(seen, "0/0"))


SILENT = """\
| npu-smi 25.5.1                   Version: 25.5.1                                               |
| 0     910B3               | OK            | 0.0         0                 0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          0    / 0             |
| 1     910B3               | OK            | 90.0        35                0    / 0             |
| 0                         | 0000:C2:00.0  | 0           0    / 0          3000 / 65536         |
"""
NOTHING = "HBM Single Bit Error Count : 0\nHBM Double Bit Error Count : 2\nChip ID : 0"


async def test_zeros_of_a_silent_chip(tool: Write) -> None:
    """A chip of which the table shows nothing but zeros did not answer: no errors of it are none, some are some."""
    tool({"info": f"echo '{SILENT}'", **details("01", "exit 1", "exit 1", f"echo '{NOTHING}'")})

    seen = await Ascend().look(7.0)

    assert ({"uncorrected": 2.0}, {"corrected": 0.0, "uncorrected": 2.0}) == (errors(seen, "0"), errors(seen, "1"))


@pytest.mark.parametrize(
    ("works", "clock", "value"), [("90", "960", "clock"), ("90", "1080", "none"), ("0", "960", None)]
)
async def test_throttle(tool: Write, works: str, clock: str, value: str | None) -> None:
    """Whether any chip at work is held below its clock is a fact; where none works it cannot be told."""
    at_work = f"{prints(COMMON)} | sed '9,99s/Rate(%)           : 0/Rate(%) : {works}/;9,99s/960/{clock}/'"
    tool({"info": prints(DIES), **details("0"), **details("1", at_work)})

    fact = known(await Ascend().look(7.0))[catalog.ASCEND_THROTTLE]

    assert (value, value is None) == (fact.value, fact.why == "no chip that tells both its clocks is at work")


async def test_details_that_hang(tool: Write) -> None:
    """Details that hang cost their time and nothing else: the table is told."""
    tool({"info": prints(DIES), **details("01", "exec sleep 600")})
    loop = asyncio.get_running_loop()
    began = loop.time()

    seen = await Ascend(enough=0.5).look(7.0)

    assert loop.time() - began < 3.0
    assert set(parse(capture(DIES), 7.0)[0]) == set(seen[0])
    assert "NPU 0 was not answered for in time" == known(seen)[catalog.ASCEND_CLOCK].why


async def test_table_that_takes_all_the_time(tool: Write, runs: Path) -> None:
    """When the table alone takes too long, details are left for later, and that is said."""
    tool({"info": prints(DIES), **details("01")})

    seen = await Ascend(enough=0.0).look(7.0)

    assert ["info"] == ran(runs)
    assert "not told yet by 0/0, 0/1, 1/0, 1/1" == known(seen)[catalog.ASCEND_CLOCK].why


@pytest.mark.parametrize(
    ("does", "error"),
    [
        ("exec sleep 600", "no answer within 0.3 s"),
        ("sleep 8; echo late", "no answer within 0.3 s"),
        ("exec head -c 100000000 /dev/zero", "the tool printed more than 1 MiB"),
        ("head -c 100000 /dev/urandom", "npu-smi prints no table of devices"),
        ("kill -11 $$", "npu-smi was ended by SIGSEGV"),
        ("exit 187", "npu-smi ends with exit code 187, as for -8005: the driver cannot be reached: run as root or "),
        ("sleep 600 & exit 172", "npu-smi ends with exit code 172, as for -8020: another container holds the device"),
    ],
)
async def test_tools_that_misbehave(tool: Write, does: str, error: str) -> None:
    """A tool that hangs, dawdles, floods, babbles, dies or leaves children costs one look, in time, and one line."""
    tool({"info": does})
    limit = 0.3 if "answer" in error else 5.0
    loop = asyncio.get_running_loop()
    began = loop.time()

    snapshot = await run("ascend", Ascend().look, limit)

    assert loop.time() - began < limit + 1.0
    assert error == snapshot.error[: len(error)]
    assert "\n" not in snapshot.error
    assert () == snapshot.readings


async def test_one_call_at_a_time(tool: Write, tmp_path: Path) -> None:
    """Each call holds the node's lock, so that a second monitor's calls wait for it."""
    lock = tmp_path / "lock"
    held = f'flock -n "{lock}" true && exit 9'
    tool({name: f"{held}; {what}" for name, what in {"info": prints(DIES), **details("01")}.items()})

    seen = await Ascend(lock).look(7.0)

    assert 4 == len(values(seen, catalog.DEVICE_CLOCK))


async def test_devices_that_serve(tool: Write) -> None:
    """The devices that vLLM's processes use are told; which processes are vLLM's is asked of who knows."""

    async def served(pids: frozenset[int]) -> frozenset[int]:
        return pids & {990711}

    tool({"info": prints(DIES)})

    seen = await Ascend(served=served).look(7.0)

    assert "1/1" == known(seen)[catalog.ASCEND_SERVED].value


@pytest.mark.parametrize(
    ("name", "why"), [(DIES, "none of the listed processes is known as vLLM's"), (NEWEST, "no process is listed")]
)
async def test_devices_that_nobody_is_known_to_use(tool: Write, name: str, why: str) -> None:
    """Where no process is known as vLLM's, it is said what is missing; that is no statement that none serves."""
    tool({"info": prints(name)})

    fact = known(await Ascend().look(7.0))[catalog.ASCEND_SERVED]

    assert fact.value is None
    assert fact.why.startswith(why)


async def test_processes_that_cannot_be_told(tool: Write) -> None:
    """What keeps us from knowing vLLM's processes is told, and costs nothing else."""

    async def served(_: frozenset[int]) -> frozenset[int]:
        raise LookError("/proc hangs")

    tool({"info": prints(DIES)})

    seen = await Ascend(served=served).look(7.0)

    assert (None, "/proc hangs") == (known(seen)[catalog.ASCEND_SERVED].value, known(seen)[catalog.ASCEND_SERVED].why)
    assert seen[0]


class Asked:
    """Stands for the tool's details: notes who was asked for, and hangs for those who are named."""

    def __init__(self, *hanging: str) -> None:
        self.hanging = hanging
        self.calls = 0
        self.npus: list[str] = []
        self.errors: list[str] = []

    async def __call__(self, query: str, npu: str) -> str:
        """Answer one query."""
        self.calls += 1
        if query == "common":
            self.npus.append(npu)
        if query == "ecc":
            self.errors.append(npu)
        if npu in self.hanging:
            await asyncio.Event().wait()
        return "Aicore Freq(MHZ) : 1000\n" if query == "common" else ""


async def looked(rounds: Rounds, at: float, npus: str = "0123", seconds: float = 5.0) -> set[str]:
    told = await rounds.look(tuple(npus), at, asyncio.get_running_loop().time() + seconds)
    return {one.npu for one in told}


async def test_round_goes_on() -> None:
    """A round that was cut short goes on with the next NPU at the next look, not from the beginning."""
    asked = Asked("2")
    rounds = Rounds(asked)

    first = await looked(rounds, 0.0, seconds=0.05)
    second = await looked(rounds, 15.0, seconds=0.05)
    third = await looked(rounds, 30.0)

    assert ({"0", "1"}, {"0", "1"}, {"0", "1", "3"}) == (first, second, third)
    assert ["0", "1", "2", "2", "3"] == asked.npus
    assert {"common": "NPU 2 was not answered for in time"} == rounds.why


async def test_round_is_spread() -> None:
    """The first round is one look's; later ones are spread over the looks until the next, so that none costs much."""
    asked = Asked()
    rounds = Rounds(asked)
    numbers = []
    for at in range(9):
        asked.calls = 0
        await looked(rounds, 15.0 * at, "0123456789")
        numbers.append(asked.calls)

    assert [30, 0, 0, 0, 6, 6, 6, 4, 6] == numbers


async def test_errors_are_asked_for_rarely() -> None:
    """Of each NPU errors are asked for in every fourth round, of some in each, so that all rounds cost the same."""
    asked = Asked()
    rounds = Rounds(asked, every=1)
    numbers = []
    for at in range(9):
        asked.calls = 0
        await looked(rounds, 60.0 * at, "01234567")
        numbers.append(asked.calls)

    assert [24, *[18] * 8] == numbers
    assert dict.fromkeys("01234567", 3) == Counter(asked.errors)


async def test_rounds_begin_anew() -> None:
    """A round begins at every fourth look, and a failure of the last one is forgotten with it."""
    asked = Asked("0")
    rounds = Rounds(asked)
    await looked(rounds, 0.0, "01", seconds=0.05)
    asked.hanging = ()

    for at in (15.0, 30.0, 45.0):
        await looked(rounds, at, "01")
    before, again = rounds.why, await looked(rounds, 60.0, "01")
    last = [await looked(rounds, at, "01") for at in (75.0, 90.0, 105.0)][-1]

    assert ["0", "1", "0", "1"] == asked.npus
    assert ({"common": "NPU 0 was not answered for in time"}, {}) == (before, rounds.why)
    assert ({"0", "1"}, {"0", "1"}) == (again, last)


async def test_what_is_gone_is_forgotten() -> None:
    """Of an NPU that is no longer listed, or that could not be asked for long, nothing is told."""
    rounds = Rounds(Asked(), every=1000)

    assert {"0", "1"} == await looked(rounds, 0.0, "01")
    assert {"1"} == await looked(rounds, OLD, "1")
    assert set() == await looked(rounds, OLD + 1, "1")
