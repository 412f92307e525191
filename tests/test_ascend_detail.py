"""What npu-smi tells of one NPU in lines: clocks, units in use, bandwidth; each chip's own, the controller's never."""

import math
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.ascend.detail import Figure, blocks, details

CAPTURES = Path(__file__).parent / "captures" / "ascend"
NAMES = sorted(path.stem for path in CAPTURES.glob("info-t-*.txt"))
PAIR = "info-t-common-i1_310P-300IDuo_2chip+mcu"
NEWEST = "info-t-common-i0_A5-doc"
USAGES = "info-t-usages-i0_910B_25.5.1_aivector-aicube"


def capture(name: str) -> str:
    """Give what the tool printed: the first line of a capture says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text().partition("\n")[2]


def known(*texts: str) -> dict[tuple[str, str, str], float]:
    return {
        (chip, figure.metric, figure.kind): figure.value
        for text in texts
        for chip, figures in details(text).items()
        for figure in figures
    }


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each capture gives exactly the lines and figures of its golden, whatever it was asked for."""
    lines = [
        f"chip {chip!r}: {name} = {value}" for chip, pairs in blocks(capture(name)) for name, value in pairs.items()
    ]
    lines += [
        f"chip {chip!r} {figure.metric}{{{figure.kind}}} {figure.value!r}"
        for chip, figures in details(capture(name)).items()
        for figure in figures
    ]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


def test_clock_and_rated_clock() -> None:
    """Throttling shows: the clock now and the one that the chip is made for, in hertz, for each chip."""
    found = known(capture(PAIR))

    assert [960e6] * 2 == [found[chip, catalog.DEVICE_CLOCK, ""] for chip in ("0", "1")]
    assert [1080e6] * 2 == [found[chip, catalog.DEVICE_CLOCK_MAX, ""] for chip in ("0", "1")]


def test_chip_without_number() -> None:
    """The newest generation tells no chips: its figures are the NPU's."""
    found = known(capture(NEWEST), capture("info-t-usages-i0_A5-doc"))

    assert {""} == {chip for chip, _, _ in found}
    assert (1650e6, 0.4) == (
        found["", catalog.DEVICE_CLOCK_MAX, ""],
        found["", catalog.DEVICE_UNIT_UTILIZATION, "ctrlcpu"],
    )


def test_number_above_or_below() -> None:
    """A chip's number stands above its lines or below them, by query, and they join."""
    found = known(capture("info-t-common-i0_910(32GB)_mcu-block"), capture("info-t-usages-i0_910(32GB)"))

    assert {"0"} == {chip for chip, _, _ in found}
    assert (1e9, 0.09) == (
        found["0", catalog.DEVICE_CLOCK, ""],
        found["0", catalog.DEVICE_UNIT_UTILIZATION, "ctrlcpu"],
    )


def test_bandwidth_is_the_devices_memorys() -> None:
    """On a chip with HBM its bandwidth counts, on one without, that of its DDR."""
    found = known(capture(USAGES).replace("HBM Bandwidth Usage Rate(%)    : 0", "HBM Bandwidth Usage Rate(%)    : 51"))
    without = known(capture("info-t-usages-i1_310P-300IDuo_2chip"))

    assert 0.51 == found["0", catalog.DEVICE_MEMORY_BANDWIDTH, ""]
    assert 0.51 == without["1", catalog.DEVICE_MEMORY_BANDWIDTH, ""]


def test_controller_is_no_chip() -> None:
    """What the card's controller tells is no chip's."""
    lone = "Chip Name : MCU\nAicore Freq(MHZ) : 1000\n"

    assert {} == details(lone)


@pytest.mark.parametrize("value", ["0", "NA", "-", "", "1e9", "-1", "100001", "4294967295", "x"])
def test_frequency_not_told(value: str) -> None:
    """A frequency that is not told, or cannot be, is absent, and the other one stays."""
    text = f"Aicore Freq(MHZ) : 1650\nAicore curFreq(MHZ) : {value}\n"

    assert {("", catalog.DEVICE_CLOCK_MAX, ""): 1650e6} == known(text)


@pytest.mark.parametrize(("value", "expected"), [("0", 0.0), ("57", 0.57), ("NA", None), ("101", None), ("-1", None)])
def test_share(value: str, expected: float | None) -> None:
    """A usage is a ratio; an idle unit has one too."""
    text = f"HBM Capacity(MB) : 65536\nAivector Usage Rate(%) : {value}\n"

    assert expected == known(text).get(("", catalog.DEVICE_UNIT_UTILIZATION, "aivector"))


HELD = "Aicore Usage Rate(%) : {}\nAicore Freq(MHZ) : 1650\nAicore curFreq(MHZ) : {}\n"


@pytest.mark.parametrize(
    ("busy", "clock", "expected"),
    [("50", "1200", 1.0), ("100", "1650", 0.0), ("49", "1200", None), ("NA", "1200", None), ("100", "0", None)],
)
def test_clock_held_down_at_work(busy: str, clock: str, expected: float | None) -> None:
    """A clock below the rated one is throttling only where the chip works: an idle one's says nothing."""
    assert expected == known(HELD.format(busy, clock)).get(("", catalog.DEVICE_THROTTLED, "clock"))


def errors(text: str) -> tuple[float | None, float | None]:
    """Give one chip's corrected and uncorrected errors."""
    found = known(text)
    corrected, uncorrected = (found.get(("", catalog.DEVICE_ECC_ERRORS, kind)) for kind in ("corrected", "uncorrected"))
    return corrected, uncorrected


HBM = "HBM Single Bit Error Count : 3\nHBM Double Bit Error Count : 0\n"
EVER = "HBM Single Bit Aggregate Total Err Cnt : 17\nHBM Double Bit Aggregate Total Err Cnt : 1\n"
DDR = "DDR Single Bit Aggregate Total Err Cnt : 5\nDDR Double Bit Aggregate Total Err Cnt : 6\n"
INFERENCE = "Single-bit Error Count : 2\nDouble-bit Error Count : 4294967295\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DDR + HBM + EVER, (17.0, 1.0)),
        (DDR + HBM, (3.0, 0.0)),
        (HBM + EVER.replace("17", "NA"), (3.0, 1.0)),
        (DDR, (5.0, 6.0)),
        (INFERENCE, (2.0, None)),
        ("HBM Single Bit Isolated Pages Count : 4\n", (None, None)),
    ],
)
def test_errors(text: str, expected: tuple[float | None, float | None]) -> None:
    """Errors are those of the HBM, else of the DDR, ever rather than since the start; a code is none, nor are pages."""
    assert expected == errors(text)


@pytest.mark.parametrize(
    "vital",
    [
        "HBM Capacity(MB) : 0\nDDR Capacity(MB) : 0",
        "Aicore Freq(MHZ) : 0\nAicore curFreq(MHZ) : 0\nTemperature(C) : 0",
    ],
)
def test_zeros_of_failed_queries(vital: str) -> None:
    """A chip that has nothing of what every chip has did not answer: its other zeros are none."""
    assert {} == details(f"{vital}\nAicore Usage Rate(%) : 0\nHBM Bandwidth Usage Rate(%) : 0\n")


def test_chips_run_together() -> None:
    """Two chips between which the empty line is lost are not told apart, and so not told at all."""
    assert {} == details(capture(PAIR).replace("\n\n", "\n"))


def test_line_ends_do_not_matter() -> None:
    """Windows line ends, tabs and trailing blanks read the same."""
    text = "\r\n".join(f"\t{line}  " for line in capture(PAIR).splitlines())

    assert details(capture(PAIR)) == details(text)


WORDS = st.sampled_from(
    [
        "Aicore Freq(MHZ)",
        "Aicore curFreq(MHZ)",
        "Aicore Usage Rate(%)",
        "Chip ID",
        "Chip Name",
        "HBM Capacity(MB)",
        "HBM Single Bit Error Count",
        "Double-bit Error Count",
    ]
)
LINES = st.tuples(WORDS | st.text(max_size=9), st.integers().map(str) | st.sampled_from(["mcu", "NA", "", "1.5"]))


def plausible(found: dict[str, tuple[Figure, ...]]) -> bool:
    ceilings = {catalog.DEVICE_CLOCK: 1e11, catalog.DEVICE_CLOCK_MAX: 1e11, catalog.DEVICE_ECC_ERRORS: 2.0**32 - 2}
    return all(
        math.isfinite(one.value) and 0 <= one.value <= ceilings.get(one.metric, 1.0)
        for figures in found.values()
        for one in figures
    )


@given(st.text() | st.lists(LINES.map(" : ".join) | st.just(""), max_size=20).map("\n".join))
def test_any_text(text: str) -> None:
    """Whatever is printed, nothing is raised, and what is read is possible."""
    assert plausible(details(text))


@given(st.sampled_from(NAMES), st.data())
def test_any_capture_mutated(name: str, data: st.DataObject) -> None:
    """Whatever stands in place of a part of a capture, what is read is possible, and of chips that are named."""
    text = capture(name)
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 200))
    changed = text[:start] + data.draw(st.text("0129: \n\tx%", max_size=9)) + text[start + length :]

    found = details(changed)

    assert plausible(found)
    assert all(chip == "" or chip.isdecimal() for chip in found)
