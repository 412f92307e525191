"""Every table of `npu-smi info` becomes readings and facts; what it does not tell is absent."""

import math
import re
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.ascend.look import judge, parse
from monitor.collect.command import Output
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading

CAPTURES = Path(__file__).parent / "captures" / "ascend"
NAMES = sorted(path.stem for path in CAPTURES.glob("info_*.txt"))
OTHERS = sorted(path.stem for path in CAPTURES.glob("*.txt") if path.stem.partition("-")[0] in {"info", "version_A5"})
ERRORS = sorted(path.stem for path in CAPTURES.glob("error_*.txt"))
SEVERAL = [name for name in NAMES if "A3" in name]
BUSY = "info_910B2C_24.1.rc1_16npu_busy_ray-procs"
DIES = "info_A3-Ascend910_25.2.0_dual-die_dash-power"

NODES = "/dev/davinci*, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc"
UNREACHED = (
    "the driver cannot be reached: run as root or join the group HwHiAiUser, "
    f"mount {NODES}, and reboot after a firmware upgrade"
)
DRIVER = "/usr/local/Ascend/driver/lib64"
LIBRARIES = f"mount {DRIVER} and /usr/local/dcmi, and set LD_LIBRARY_PATH={DRIVER}/driver:{DRIVER}/common"
MESSAGES = {
    "error_board-type_9005": f"npu-smi fails with -9005: {UNREACHED}",
    "error_dcmi-init_8005": f"npu-smi fails with -8005: {UNREACHED}",
    "error_device-used_8020": "npu-smi fails with -8020: another container holds the device: set [ascend] source = "
    '"npu-exporter", run on the host, or allow sharing with `npu-smi set -t device-share -i <npu> -c <chip> -d 1`',
    "error_invalid-card-id": "npu-smi does not know the card: it may have dropped off the bus (see lspci and dmesg)",
    "error_no-card": f"npu-smi finds no NPU card on this server; in a container, mount {NODES}",
    "error_no-libc_sec": f"npu-smi does not find libc_sec.so: {LIBRARIES}",
    "error_no-permission-lib": f"npu-smi does not find libdrvdsmi_host.so: {LIBRARIES}",
}

GLIBC = "npu-smi does not fit this container's C library: use an image at least as new as the host"
DENIED = "npu-smi may not open a file: run as root or join the group HwHiAiUser"
BANNER = "| npu-smi 25.5.1                   Version: 25.5.1.b2                                            |"
PROCESSES = """\
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
"""


def capture(name: str) -> str:
    """Give what the tool printed: the first line of a capture says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text().partition("\n")[2]


def amounts(text: str) -> dict[tuple[str, str], float]:
    readings, _ = parse(text, 0.0)
    return {(reading.metric, dict(reading.labels)["device"]): reading.value for reading in readings}


def known(text: str) -> dict[str, Fact]:
    return {fact.name: fact for fact in parse(text, 0.0)[1]}


def names(text: str) -> list[str]:
    return [device for metric, device in amounts(text) if metric == catalog.DEVICE_INFO]


def table(*rows: str) -> str:
    return "\n".join((BANNER, *rows)) + "\n"


def one(upper: str = "| 0 910B3 | OK | 90.7 37 0 / 0 |", lower: str = "| 0 | 0000:C1:00.0 | 7 0 / 0 300/ 400 |") -> str:
    return table(upper, lower)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each capture gives exactly the readings and facts of its golden, the comment above it no matter."""
    readings, facts = parse((CAPTURES / f"{name}.txt").read_text(), 0.0)
    lines = [
        f"{reading.metric}{{{','.join(f'{key}={value}' for key, value in reading.labels)}}} {reading.value!r}"
        for reading in readings
    ]
    lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in facts]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_readings_fit_the_catalogue(name: str) -> None:
    """Every reading is a catalogued metric with its labels, at the given time, and none is given twice."""
    readings, facts = parse(capture(name), 7.0)

    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert reading.at == 7.0
    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)
    known = [catalog.ASCEND_SOURCE, catalog.ASCEND_DEVICES, catalog.ASCEND_DRIVER, catalog.ASCEND_HEALTH]
    assert known == [fact.name for fact in facts]


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_what_would_help(name: str) -> None:
    """Each message of a run that failed becomes one line with its remedy, whatever the exit code."""
    for code in (0, 127, 187):
        with pytest.raises(LookError) as caught:
            judge(Output(code, capture(name)), 0.0)

        assert MESSAGES[name] == str(caught.value)


def test_every_error_capture_has_its_message() -> None:
    """No error sample goes unchecked."""
    assert sorted(MESSAGES) == ERRORS


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (Output(1, "boom\nno such thing\n"), "npu-smi ends with exit code 1: no such thing"),
        (Output(-9, ""), "npu-smi was ended by SIGKILL"),
        (Output(-11, "half of a line"), "npu-smi was ended by SIGSEGV: half of a line"),
        (Output(187, ""), f"npu-smi ends with exit code 187, as for -8005: {UNREACHED}"),
        (Output(211, "\n"), f"npu-smi ends with exit code 211, as for -9005: {UNREACHED}"),
        (Output(184, ""), f"npu-smi ends with exit code 184, as for -8008: no device: mount {NODES}"),
        (Output(1, "é\x1b[31mred"), "npu-smi ends with exit code 1: ??[31mred"),
        (Output(1, "npu-smi: /lib64/libc.so.6: version `GLIBC_2.34' not found"), GLIBC),
        (Output(255, "open: Permission denied"), DENIED),
        (Output(0, ""), "npu-smi prints no table of devices"),
        (Output(0, "<html>\n"), "npu-smi prints no table of devices: <html>"),
        (Output(0, BANNER), f"npu-smi lists no devices; in a container, mount {NODES}"),
        (Output(213, "dcmi call failed. ret is -8235"), "npu-smi fails with -8235: see the error codes of DCMI"),
        (
            Output(175, "ret is -8017"),
            "npu-smi fails with -8017: the firmware is being upgraded",
        ),
    ],
)
def test_other_failures(printed: Output, expected: str) -> None:
    """A failure that is not known by its text is told with its exit code and last words."""
    with pytest.raises(LookError) as caught:
        judge(printed, 0.0)

    assert expected == str(caught.value)


def test_table_of_a_failed_run_is_no_data() -> None:
    """A table that ends in a failure may lack devices, which must not look as if they were gone."""
    with pytest.raises(LookError, match=r"^npu-smi ends with exit code 139: Segmentation fault$"):
        judge(Output(139, one() + "Segmentation fault\n"), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_warnings_around_the_table_do_not_spoil_it(name: str) -> None:
    """What the tool or the driver's libraries print before and after a table changes nothing."""
    text = capture(name)
    noisy = f"DrvMngGetConsoleLogLevel failed. (g_conLogLevel=3)\n{text}{capture('warning_trailing-driver-package')}"

    assert parse(text, 0.0) == judge(Output(0, noisy), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_line_ends_and_margins_do_not_matter(name: str) -> None:
    """Windows line ends, an indented paste, and trailing blanks read the same."""
    lines = capture(name).splitlines()

    assert parse(capture(name), 0.0) == parse("\r\n".join(f"\t{line}  " for line in lines), 0.0)


def test_processes_are_no_devices() -> None:
    """Rows of processes are never read as devices: not below their header, and not without it."""
    headless = "".join(line for line in capture(BUSY).splitlines(keepends=True) if "Process id" not in line)

    assert [str(number) for number in range(16)] == names(capture(BUSY)) == names(headless)
    with pytest.raises(LookError, match="lists no devices"):
        parse(capture("NOTREAL_parser-bug_process-rows-merged-as-devices"), 0.0)


def test_process_that_looks_like_a_device() -> None:
    """Below the header of the processes nothing is a device, whatever a process calls itself."""
    rows = "| 5 910B3 | OK | 90.7 37 0 / 0 |\n| 0 | NA | 7 0 / 0 300/ 400 |\n"

    assert ["0"] == names(one() + PROCESSES + rows)


def test_two_chips_on_one_bus() -> None:
    """Chips of one card are told apart though they share bus, separators and card number."""
    text = table(
        "| 1       310P3                 | OK              | NA           47                0     / 0             |",
        "| 0       0                     | 0000:01:00.0    | 3            1701 / 44280                            |",
        "+-------------------------------+-----------------+------------------------------------------------------+",
        "| 1       310P3                 | OK              | NA           48                0     / 0             |",
        "| 1       1                     | 0000:01:00.0    | 0            20385/ 43693                            |",
        "+-------------------------------+-----------------+------------------------------------------------------+",
        "| 224     310P3                 | OK              | NA           49                0     / 0             |",
        "| 0       2                     | 0000:E0:00.0    | 0            1385 / 43693                            |",
    )

    assert ["1/0", "1/1", "224"] == names(text)
    assert 20385 * 2**20 == amounts(text)[catalog.DEVICE_MEMORY_USED, "1/1"]
    assert known(text)[catalog.ASCEND_DEVICES].value == "3x 310P3"


def test_second_chip_alone() -> None:
    """A container that sees only the second die names it as the host does."""
    assert ["0/1"] == names(one(lower="| 1     1 | 0000:9E:00.0 | 0 0 / 0 2876 / 65536 |"))


def test_shared_die_is_one_device() -> None:
    """One die that is listed under two chip numbers is one device."""
    text = capture("info_A3_softshare-container_duplicate-phy-id_doc")

    assert ["0/0"] == names(text)
    assert known(text)[catalog.ASCEND_DEVICES].value == "1x xxx"


def test_table_printed_twice() -> None:
    """Devices that are listed again give no second series."""
    assert parse(capture(DIES), 0.0)[0] == parse(capture(DIES).partition(PROCESSES)[0] * 2, 0.0)[0]


def test_power_is_the_packages() -> None:
    """The power of a package stays with the die that shows it."""
    found = amounts(capture(DIES))

    assert 162.8 == found[catalog.DEVICE_POWER, "0/0"]
    assert (catalog.DEVICE_POWER, "0/1") not in found


@pytest.mark.parametrize("power", ["NA", "-", "0.0", "32767.0", "1e3"])
def test_power_not_told(power: str) -> None:
    """A power that is not told, or cannot be, is absent and takes nothing else with it."""
    found = amounts(one(f"| 0 910B3 | OK | {power} 37 0 / 0 |"))

    assert (catalog.DEVICE_POWER, "0") not in found
    assert 37.0 == found[catalog.DEVICE_TEMPERATURE, "0"]


@pytest.mark.parametrize("temperature", ["NA", "-", "0", "-3", "32765"])
def test_temperature_not_told(temperature: str) -> None:
    """A temperature that is not told, or cannot be, is absent."""
    found = amounts(one(f"| 0 910B3 | OK | 90.7 {temperature} 0 / 0 |"))

    assert (catalog.DEVICE_TEMPERATURE, "0") not in found
    assert 90.7 == found[catalog.DEVICE_POWER, "0"]


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ("0           0    / 0          59356/ 65536        ", (59356, 65536)),
        ("0 1979/15039 0/32768", (0, 32768)),
        ("0 1979 / 15039      0    / 0 ", (None, None)),
        ("0 NA / NA  123456/131072", (123456, 131072)),
        ("0 5 / 10 NA / NA", (None, None)),
        ("0 0 / 0 NA / 65536", (None, 65536)),
        ("0 0 / 0 0 / 0", (None, None)),
        ("0 NA NA", (None, None)),
    ],
)
def test_memory(figures: str, expected: tuple[int | None, int | None]) -> None:
    """Memory is the last pair, however glued its columns; DDR never stands in for HBM that did not tell."""
    found = amounts(one(lower=f"| 0 | 0000:C1:00.0 | {figures} |"))
    used, total = (found.get((metric, "0")) for metric in (catalog.DEVICE_MEMORY_USED, catalog.DEVICE_MEMORY_TOTAL))

    assert expected == tuple(None if value is None else value / 2**20 for value in (used, total))


@pytest.mark.parametrize(("told", "expected"), [("0", 0.0), ("57", 0.57), ("NA", None), ("-", None), ("101", None)])
def test_utilization(told: str, expected: float | None) -> None:
    """Utilization is a ratio; an idle device has one too."""
    found = amounts(one(lower=f"| 0 | 0000:C1:00.0 | {told} 0 / 0 300 / 400 |"))

    assert expected == found.get((catalog.DEVICE_UTILIZATION, "0"))


@pytest.mark.parametrize("bus", ["0000:C1:00.0", "NA", "-", ""])
def test_bus_is_not_needed(bus: str) -> None:
    """A chip without a bus address is a chip."""
    assert ["0"] == names(one(lower=f"| 0 0 | {bus} | 7 300 / 400 |"))


@pytest.mark.parametrize(
    ("word", "expected"),
    [("OK", 1.0), ("Warning", 0.0), ("Alarm", 0.0), ("Critical", 0.0), ("UNKNOWN", 0.0), ("NA", None), ("-", None)],
)
def test_health(word: str, expected: float | None) -> None:
    """Only OK is healthy; a health that is not told is neither."""
    text = one(f"| 0 910B3 | {word} | 90.7 37 0 / 0 |")

    assert expected == amounts(text).get((catalog.DEVICE_HEALTHY, "0"))
    assert (None if expected is None else word) == known(text)[catalog.ASCEND_HEALTH].value


def test_device_that_does_not_answer() -> None:
    """A device whose queries all fail prints zeros and OK: it is known to be there, and nothing else is known."""
    lost = ("| 1 910B3 | OK | 0.0 0 0 / 0 |", "| 0 | NA | 0 0 / 0 0 / 0 |")
    text = one() + "\n".join(lost)

    assert [(catalog.DEVICE_INFO, "1")] == [key for key in amounts(text) if key[1] == "1"]
    assert known(text)[catalog.ASCEND_DEVICES].value == "2x 910B3"
    assert known(text)[catalog.ASCEND_HEALTH].value == "OK=1"


def test_alarm_of_a_device_that_does_not_answer() -> None:
    """An alarm is believed of a device that tells nothing else."""
    text = one("| 0 910B3 | Alarm | 0.0 0 0 / 0 |", "| 0 | NA | 0 0 / 0 0 / 0 |")

    assert 0.0 == amounts(text)[catalog.DEVICE_HEALTHY, "0"]
    assert (catalog.DEVICE_UTILIZATION, "0") not in amounts(text)


def test_states_and_products_are_counted() -> None:
    """Where devices differ, facts count them."""
    text = one() + "| 1 910B4 | Alarm | 90.7 37 0 / 0 |\n| 0 | NA | 7 0 / 0 300/ 400 |\n"

    assert known(text)[catalog.ASCEND_HEALTH].value == "Alarm=1,OK=1"
    assert known(text)[catalog.ASCEND_DEVICES].value == "1x 910B3, 1x 910B4"


@pytest.mark.parametrize(
    ("banner", "expected"),
    [
        ("| npu-smi 23.0.rc3          Version: 23.0.rc2.3                       |", "23.0.rc2.3"),
        ("| npu-smi 23.0.rc3          Version: NA                               |", "23.0.rc3"),
        ("| npu-smi 23.0.rc3          Version:                                  |", "23.0.rc3"),
        ("| npu-smi 23.0.rc3                                                    |", "23.0.rc3"),
        ("root@node:~# npu-smi info", None),
    ],
)
def test_driver(banner: str, expected: str | None) -> None:
    """The driver's version is told, the tool's where it is not, and neither is ever a shell's prompt."""
    text = one().replace(BANNER, banner)
    info = next(dict(reading.labels) for reading in parse(text, 0.0)[0])

    assert expected == known(text)[catalog.ASCEND_DRIVER].value
    assert (expected or "") == info["driver"]


def test_cut_off_table() -> None:
    """A row that was cut off is not read: its last number may lack digits."""
    whole = capture("info_310P3_25.2.1_busy_hugepages_glued-slash_TRUNCATED").rstrip()

    assert ["0", "32", "32768", "32800"] == names(whole)
    assert ["0", "32", "32768"] == names(whole.removesuffix("|").rstrip()[:-2])


def test_rows_out_of_step() -> None:
    """A row that lost its partner costs one device, and never gives a wrong one."""
    rows = capture(DIES).splitlines()
    lost = next(index for index, row in enumerate(rows) if "162.8" in row)

    assert ["0/1", "1/0", "1/1"] == names("\n".join(rows[:lost] + rows[lost + 1 :]))
    assert ["0/1", "1/0", "1/1"] == names("\n".join(rows[: lost + 1] + rows[lost + 2 :]))


def test_controller_is_no_chip() -> None:
    """A card's controller that is listed among its chips is none, and does not make it a card of several."""
    controller = "| 0 Mcu | OK | 45.2 48 0 / 0 |\n| 1 | NA | 0 0 / 0 0 / 0 |\n"

    assert ["0"] == names(one() + controller)


def test_upper_rows_in_a_row() -> None:
    """An upper row whose health is not told is never taken for the lower row of the one before."""
    rows = ("| 0 910B3 | NA | 90.7 37 0 / 0 |", "| 1 910B3 | NA | 91.0 38 0 / 0 |", "| 0 | NA | 7 0 / 0 300/ 400 |")

    assert ["1"] == names(table(*rows))


@pytest.mark.parametrize("name", OTHERS)
def test_other_queries_are_no_table(name: str) -> None:
    """What the tool prints for anything but the table is refused in the one line of its golden."""
    with pytest.raises(LookError) as caught:
        parse(capture(name), 0.0)

    compare(CAPTURES / f"{name}.refused.golden", f"{caught.value}\n")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("shape", "other"), [(" {2,}", " "), (" *\\| *", "|"), (r" *(?<=[0-9]) */ *(?=[0-9])", "/")])
def test_other_widths(name: str, shape: str, other: str) -> None:
    """Narrower columns and glued figures read the same: a row is split at its borders, and figures by their form."""
    assert parse(capture(name), 0.0) == parse(re.sub(shape, other, capture(name)), 0.0)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SEVERAL])
def test_cut_off_anywhere(name: str) -> None:
    """Of a table that was cut off, what is read is what the whole one says."""
    whole = amounts(capture(name))
    text = capture(name)

    for end in range(0, len(text), 37):
        try:
            part = amounts(text[:end])
        except LookError:
            continue
        assert part.items() <= whole.items()


@given(st.sampled_from(NAMES), st.data())
def test_any_table_mutated(name: str, data: st.DataObject) -> None:
    """Whatever stands in place of a part of a capture, it is refused or gives possible figures, each once."""
    text = capture(name)
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 200))
    changed = text[:start] + data.draw(st.text("0129| /.-NAOK\n", max_size=9)) + text[start + length :]

    try:
        readings, _ = parse(changed, 0.0)
    except LookError:
        return
    assert plausible(readings)
    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)


def cells() -> st.SearchStrategy[str]:
    words = st.sampled_from(["0", "1", "910B3", "OK", "Alarm", "NA", "-", "0.0", "90.7", "37", "0 / 0", "59356/ 65536"])
    odd = st.text("0129/.- \t\x0cANé٣", max_size=12) | st.integers(0).map(str)
    return st.lists(words | odd, max_size=5).map(" ".join)


def tables() -> st.SearchStrategy[str]:
    row = st.lists(cells(), max_size=5).map(lambda found: f"| {' | '.join(found)} |")
    real = st.sampled_from([row for name in NAMES for row in capture(name).splitlines()])
    return st.lists(real | row, max_size=30).map("\n".join)


def plausible(readings: tuple[Reading, ...]) -> bool:
    ceilings = {catalog.DEVICE_UTILIZATION: 1.0, catalog.DEVICE_TEMPERATURE: 200.0, catalog.DEVICE_HEALTHY: 1.0}
    return all(
        math.isfinite(reading.value) and 0 <= reading.value <= ceilings.get(reading.metric, math.inf)
        for reading in readings
    )


@given(text=st.text() | tables())
def test_any_text_is_judged(text: str) -> None:
    """Whatever is printed, only LookError is raised, and what is read is plausible and given once."""
    try:
        readings, why = parse(text, 0.0)[0], ""
    except LookError as error:
        readings, why = (), str(error)
    assert bool(readings) != why.startswith("npu-smi ")
    assert "\n" not in why
    assert plausible(readings)
    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)
