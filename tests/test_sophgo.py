"""Every capture of Sophgo's tools becomes the catalogue's readings, or an error that says what to do."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.sophgo.look import Sophgo, parse
from monitor.collect.sophgo.look import tool as found_tool
from monitor.model import Fact, Reading

CAPTURES = Path(__file__).parent / "captures" / "sophgo"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.txt"))
SEVERAL = "bm-smi_5cards_SC5+_SC5H_SC5P_multi-chip_SDK2.4.0_TRANSCRIBED"
FAULT = "RENDERED-NOT-REAL_bm-smi_SC7_process-table_fault"
SINGLE = "bm-smi_1684X-EVB_PCIE_busy-mem_TRANSCRIBED"
LINES = "bm-smi_text_format_SC5+_doc"
NUMBERS = set(catalog.METRICS) - {catalog.DEVICE_INFO, catalog.DEVICE_HEALTHY}


def capture(name: str) -> str:
    """Give what the tool printed; the file's first line says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text(encoding="utf-8").partition("\n")[2]


def document(*chips: dict[str, Any], **card: object) -> dict[str, Any]:
    """Make what tpu-smi prints of one card that carries these chips."""
    numbered = {f"chip{n}": {"chip_index_of_card": n, "status": "Active", **chip} for n, chip in enumerate(chips)}
    counted = {"card_num": 1, "chip_num": len(chips)}
    return {**counted, "card0": {"card_idx": 0, "chip_num_of_card": len(chips), **card, **numbered}}


def readings(text: str | dict[str, Any]) -> dict[tuple[str, str], float]:
    found, _ = parse(text if isinstance(text, str) else json.dumps(text), 7.0)
    assert len({(reading.metric, reading.labels) for reading in found}) == len(found)
    return {(reading.metric, dict(reading.labels)["device"]): reading.value for reading in found}


def facts(text: str | dict[str, Any]) -> dict[str, Fact]:
    return {fact.name: fact for fact in parse(text if isinstance(text, str) else json.dumps(text), 7.0)[1]}


def info(text: str, device: str) -> tuple[str, str]:
    pairs = [dict(reading.labels) for reading in parse(text, 7.0)[0] if reading.metric == catalog.DEVICE_INFO]
    return next((pair["product"], pair["driver"]) for pair in pairs if pair["device"] == device)


def refusal(text: str) -> str:
    with pytest.raises(LookError) as caught:
        parse(text, 7.0)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each capture gives exactly the readings and facts, or the error, of its golden."""
    try:
        found, told = parse(capture(name), 0.0)
        lines = [f"{r.metric}{{{','.join(f'{k}={v}' for k, v in r.labels)}}} {r.value!r}" for r in found]
        lines += [f"{fact.name} = {fact.value} ({fact.why or fact.path})" for fact in told]
    except LookError as error:
        lines = [f"LookError: {error}"]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", [name for name in NAMES if "smi_TABLE" not in name and "google" not in name])
def test_readings_fit_the_catalogue(name: str) -> None:
    """Every reading is a catalogued metric with its labels, at the given time; every fact is told or says why not."""
    found, told = parse(capture(name), 7.0)

    for reading in found:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert ("sophgo", 7.0) == (dict(reading.labels)["vendor"], reading.at)
    names = ["sophgo.devices", "sophgo.driver", "sophgo.health", "sophgo.links", "sophgo.throttle"]
    assert names == [fact.name for fact in told]
    assert all((fact.value is None) == bool(fact.why) for fact in told)


def test_devices_are_named_by_card_and_chip() -> None:
    """A chip is named after its card where that carries several, else by its own number, which runs on over cards."""
    devices = [device for metric, device in readings(capture(SEVERAL)) if metric == catalog.DEVICE_INFO]

    assert ["0/0", "0/1", "0/2", "3", "4", "5", *(f"4/{n}" for n in range(6, 14))] == devices


def test_chip_left_alone_keeps_its_name() -> None:
    """A chip of a card of two keeps its name when the other is not listed."""
    text = document({}, {})
    del text["card0"]["chip0"]

    assert (catalog.DEVICE_INFO, "0/1") in readings(text)


def test_indices_come_before_names() -> None:
    """A card and chip are called by the numbers they give, and where these are useless, by those of their names."""
    text = {"card0": {"card_idx": 5, "chip0": {}}, "card1": {"card_idx": None, "chip0": {}}, "card2": {"chip0": None}}

    assert {"5", "1"} == {device for _, device in readings(text)}


def test_board_columns_hold_for_all_chips_of_a_card() -> None:
    """What the table tells once per card, its name and highest clock, holds for all chips of that card only."""
    text = capture(SEVERAL).replace("75M     550M   N/A|000:11", "75M     600M   N/A|000:11")
    found = readings(text)

    assert ("1684-SC5P", "2.4.0") == info(text, "4/13")
    assert (600e6, 550e6) == (found[catalog.DEVICE_CLOCK_MAX, "4/13"], found[catalog.DEVICE_CLOCK_MAX, "0/2"])


@pytest.mark.parametrize("word", ["Fault", "fault ", "F", "Resetting"])
def test_faulted_chip_has_no_numbers(word: str) -> None:
    """A chip that the tool does not call active is unhealthy, and none of its numbers is believed."""
    found = readings(document({"status": word, "tpu_util": "100%", "mem_usage": "0MB", "chip_temp": "41C"}))

    assert {(catalog.DEVICE_INFO, "0"): 1.0, (catalog.DEVICE_HEALTHY, "0"): 0.0} == found


def test_faulted_chip_of_a_table_has_no_numbers() -> None:
    """So it is in the table, where a fault's memory total still looks right; its neighbour keeps its numbers."""
    found = readings(capture(FAULT))

    assert {(catalog.DEVICE_INFO, "0/1"), (catalog.DEVICE_HEALTHY, "0/1")} == {key for key in found if key[1] == "0/1"}
    assert 0.37 == found[catalog.DEVICE_UTILIZATION, "0/0"]


def test_health_words() -> None:
    """The health is told in the tool's words: one where all chips agree, else each with its count."""
    chips = [{"status": "Active"}] * 7

    assert facts(document(*chips))[catalog.SOPHGO_HEALTH].value == "Active"
    assert facts(document(*chips, {"status": "Fault"}))[catalog.SOPHGO_HEALTH].value == "Active=7,Fault=1"
    assert facts(document(*chips, {"status": "N/A"}))[catalog.SOPHGO_HEALTH].value == "Active=7"
    assert facts(document({"status": "N/A"}))[catalog.SOPHGO_HEALTH].value is None


def test_status_not_told() -> None:
    """Without a status there is no health, and the numbers stand."""
    found = readings(document({"status": None, "tpu_util": "12%"}))

    assert {(catalog.DEVICE_INFO, "0"): 1.0, (catalog.DEVICE_UTILIZATION, "0"): 0.12} == found


def test_products_are_counted() -> None:
    """The accelerators are told as products with their counts; a tool that names none has TPUs."""
    named = document(*[{}] * 8, board_name="SC11", driver_version="1.1.3")

    assert facts(named)[catalog.SOPHGO_DEVICES] == Fact(
        catalog.SOPHGO_DEVICES, "8x SC11", "tpu-smi --noloop --json_format"
    )
    assert facts(named)[catalog.SOPHGO_DRIVER].value == "1.1.3"
    assert facts(document({}))[catalog.SOPHGO_DEVICES].value == "1x TPU"
    assert facts(capture(SEVERAL))[catalog.SOPHGO_DEVICES].value == "3x 1684-SC5+, 3x 1684-SC5H, 8x 1684-SC5P"


@pytest.mark.parametrize(
    ("field", "value", "metric", "expected"),
    [
        ("tpu_util", "12%", catalog.DEVICE_UTILIZATION, 0.12),
        ("tpu_util", " 57 % ", catalog.DEVICE_UTILIZATION, 0.57),
        ("tpu_util", 100, catalog.DEVICE_UTILIZATION, 1.0),
        ("chip_temp", "41C", catalog.DEVICE_TEMPERATURE, 41.0),
        ("chip_temp", "41 °C", catalog.DEVICE_TEMPERATURE, 41.0),
        ("chipT", "41℃", catalog.DEVICE_TEMPERATURE, 41.0),
        ("Temperature", 41.5, catalog.DEVICE_TEMPERATURE, 41.5),
        ("tpu_power", "30.2W", catalog.DEVICE_POWER, 30.2),
        ("power", "30200mW", catalog.DEVICE_POWER, 30.2),
        ("currclk", "950M", catalog.DEVICE_CLOCK, 950e6),
        ("tpu_current_clock", "950MHz", catalog.DEVICE_CLOCK, 950e6),
        ("tpu_max_clock", "1.2GHz", catalog.DEVICE_CLOCK_MAX, 1.2e9),
        ("mem_usage", "1024MB", catalog.DEVICE_MEMORY_USED, 2.0**30),
        ("mem_total", "128 GiB", catalog.DEVICE_MEMORY_TOTAL, 2.0**37),
        ("memory-usage", "9000MB/14679MB", catalog.DEVICE_MEMORY_USED, 9000 * 2.0**20),
        ("mem_usage", "1MB / 2MB", catalog.DEVICE_MEMORY_TOTAL, 2.0**21),
        ("ecc_correct_num", 3, catalog.DEVICE_ECC_ERRORS, 3.0),
    ],
)
def test_units(field: str, value: object, metric: str, expected: float) -> None:
    """A number comes with its unit in a string, and becomes the base unit."""
    assert expected == readings(document({field: value}))[metric, "0"]


@pytest.mark.parametrize("field", ["tpu_util", "chip_temp", "tpu_power", "currclk", "maxclk", "mem_usage", "correctn"])
@pytest.mark.parametrize(
    "value",
    [
        *("N/A", "F", " F ", "", "-", "-1%", "-5C", "-1MB", "x", "1e9C", "NaN", "12V", "0x10", "9" * 400),
        *("101%", "12%%", "1 2%", "٤C", None, True, [], {"a": 1}, -1024, math.nan, math.inf),
        *("4294966272C", 4294966272, "4294966273KB", "4294966272mW", "4294966273Hz"),  # faults' codes without sign
    ],
)
def test_no_number_is_no_reading(field: str, value: object) -> None:
    """What is not a possible number in a known unit gives no reading, and never zero."""
    assert {catalog.DEVICE_INFO, catalog.DEVICE_HEALTHY} == {metric for metric, _ in readings(document({field: value}))}


@pytest.mark.parametrize("field", ["currclk", "mem_usage"])
def test_number_without_unit(field: str) -> None:
    """A number without a unit gives no reading where it can mean several."""
    assert not NUMBERS & {metric for metric, _ in readings(document({field: 950}))}


def test_memory_of_nothing() -> None:
    """A memory of 0 MB in all is a query that failed, not an empty device."""
    assert not NUMBERS & {metric for metric, _ in readings(document({"mem_usage": "0MB/0MB"}))}


def test_links_between_chips() -> None:
    """What the tool tells of the links between chips is a fact, in whatever form; without it, it says so."""
    told = {**document({}), "c2c_topology": [[0, 1], [1, 0]]}
    long = {**document({}), "sglink": ["x" * 500]}

    assert "[[0,1],[1,0]]" == facts(told)[catalog.SOPHGO_LINKS].value
    assert 120 == len(facts(long)[catalog.SOPHGO_LINKS].value or "")
    assert "the tool does not tell it" == facts(document({}))[catalog.SOPHGO_LINKS].why


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"tpu_util": "50%", "currclk": "900M", "maxclk": "1000M"}, 1.0),
        ({"tpu_util": "99%", "currclk": "1000M", "maxclk": "1000M"}, 0.0),
        ({"tpu_util": "49%", "currclk": "900M", "maxclk": "1000M"}, None),
        ({"tpu_util": "99%", "currclk": "900M"}, None),
        ({"tpu_util": "99%", "currclk": "900M", "maxclk": "1000M", "status": "Fault"}, None),
    ],
)
def test_clock_held_down_at_work(told: dict[str, Any], expected: float | None) -> None:
    """A clock below the highest is throttling only where the chip works: an idle one's, or a faulted one's, is not."""
    words = {1.0: "clock", 0.0: "none", None: None}

    assert expected == readings(document(told)).get((catalog.DEVICE_THROTTLED, "0"))
    assert words[expected] == facts(document(told, {}))[catalog.SOPHGO_THROTTLE].value


def test_memory_by_another_name() -> None:
    """Builds for SoCs of two processors call a chip's memory Ion, and say more of it in a row of its own."""
    text = capture(SINGLE).replace("Memory-Usage", "Ion-Usage   ")

    assert readings(capture(SINGLE)) == readings(text)


def test_power_that_lost_its_unit() -> None:
    """From 100 W on bm-smi cuts off the unit, and the column still says what it is."""
    assert 100.5 == readings(capture(SINGLE).replace(" 2.5W", "100.5"))[catalog.DEVICE_POWER, "0"]


def test_power_of_the_board() -> None:
    """The board's power is the chip's only where it carries one, and never stands in for the chip's own."""
    assert 75.0 == readings(document({}, board_power="75W"))[catalog.DEVICE_POWER, "0"]
    assert not NUMBERS & {metric for metric, _ in readings(document({}, {"board_power": "75W"}, board_power="75W"))}
    assert not NUMBERS & {metric for metric, _ in readings(document({"tpu_power": "N/A"}, board_power="75W"))}


def test_unknown_keys_are_passed_over() -> None:
    """Keys that nobody knew of change nothing, whatever they hold."""
    chip = {"tpu_util": "9%", "mem_usage": "0MB"}
    more = {"sn": "X", "c2c": [{"chip0": 1}], "chip_": {}, "chipset": {"status": "Fault"}, "": 0, "pcie": {"speed": 5}}

    assert readings(document(chip)) == readings({**document({**chip, **more}, **more), **more, "cardinality": {}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("\x1b[2J\x1b[1;1H\x1b[32m", "\x1b[0m\n"),
        ("\x1b]0;tpu-smi\x07\x1b(B", ""),
        ("\x1b]0;tpu-smi\n", ""),
        ("[tpuv7] {warning} libtpuv7_rt { 1.9.3\n", "done {}\n"),
        ('{"level": "info"}\n', '{"card0": {"chip0": '),
    ],
)
def test_json_amid_other_text(before: str, after: str) -> None:
    """Escape codes and banners around the JSON do not matter, braces in them included."""
    text = json.dumps(document({"tpu_util": "9%"}), indent=4)

    assert readings(text) == readings(before + text.replace("\n", "\r\n") + after)


def test_last_word_counts() -> None:
    """Of a tool that looped, the last look counts, in either layout."""
    again = capture(FAULT).replace("37% |", "38% |")
    twice = json.dumps(document({"tpu_util": "1%"})) + json.dumps(document({"tpu_util": "2%"}))

    assert 0.02 == readings(twice)[catalog.DEVICE_UTILIZATION, "0"]
    assert 0.38 == readings(capture(FAULT) + again)[catalog.DEVICE_UTILIZATION, "0/0"]


def test_table_amid_other_text() -> None:
    """Escape codes, line ends and indentation do not matter to the table."""
    text = capture(FAULT)
    drawn = "\x1b[H\x1b[J" + text.replace("37%", "\x1b[31m37%\x1b[0m").replace("\n", "\r\n    ")

    assert readings(text) == readings(drawn)


def test_processes_are_no_devices() -> None:
    """Rows after the devices' end are not read, even if they look like devices."""
    text = capture(FAULT)
    row = next(line for line in text.splitlines() if "SC7-224T" in line)

    assert readings(text) == readings(f"{text}{row.replace('| 0    50C', '| 9    50C')}\n|  |x|\n")


def test_number_of_card_not_told() -> None:
    """Chips of a card without a number go by their own."""
    text = capture(FAULT).replace("| 0  SC7-224T", "|N/A SC7-224T")

    assert {"0", "1"} == {device for _, device in readings(text)}


def test_card_of_an_unknown_mode() -> None:
    """A card of a mode that nobody knew of is a card of its own all the same."""
    text = capture(SEVERAL).replace("| 1  1684-SC5H   PCIE", "| 1  1684-SC5H   CXL ")

    assert (catalog.DEVICE_INFO, "3") in readings(text)
    assert info(text, "3")[0].startswith("1684-SC5H")


def test_row_that_does_not_fit_its_header() -> None:
    """A row with fewer values than its header is not guessed at."""
    found = readings(capture(SINGLE).replace("3.4A", "    "))

    assert (catalog.DEVICE_TEMPERATURE, "0") in found
    assert (catalog.DEVICE_MEMORY_USED, "0") not in found


def test_wrapped_lines() -> None:
    """The one-line-per-chip layout may be wrapped, and may lack a mode."""
    text = capture(LINES)

    assert readings(text) == readings(text.replace(" OFF", "\nOFF").replace("PCIE chip1", " F  chip1"))


GOOGLE = "this is Google's tpu-info, another product; put /opt/tpuv7/tpuv7-current/bin first in PATH"
DRIVER = "load the driver (lsmod shows sgcard then), and give /dev/sg-host-drv-* to this container"
BUSY = "another process holds the device, or it hangs; see dmesg"
LIBRARIES = "put /opt/tpuv7/tpuv7-current/lib first in LD_LIBRARY_PATH"
UNKNOWN = "run tpu-smi --noloop --json_format by hand to see the whole of it"
DENIED = "open /dev/sg-host-drv-0: Permission denied"
ABSENT = "open /dev/sg-host-drv-0: No such file or directory"
FLAG = "ERROR: unknown command line flag 'json_format'"
MISSING = "tpu-smi: error while loading shared libraries: libtpuv7_rt.so: No such file or directory"


@pytest.mark.parametrize(
    ("text", "quote", "advice"),
    [
        ("", "no output", LIBRARIES),
        ("\x1b[0m \r\n", "no output", LIBRARIES),
        (f"{MISSING}\n", MISSING, LIBRARIES),
        (DENIED, DENIED, "run as root, or as a user who may open /dev/sg-host-drv-*"),
        (f"start\n{ABSENT}\nend", ABSENT, DRIVER),
        ("driver may be removed or be abnormal", "driver may be removed or be abnormal", DRIVER),
        ('{"card_num": 0, "chip_num": 0}', '{"card_num": 0, "chip_num": 0}', DRIVER),
        ("| Lib Version:    0.5.1 Driver Version:  0.5.1 |", "| Lib Version: 0.5.1 Driver Version: 0.5.1 |", DRIVER),
        ("sgdev_communication: failed", "sgdev_communication: failed", BUSY),
        (FLAG, FLAG, "this tpu-smi cannot print JSON; update tpuv7-runtime"),
        ("No TPU chips found.\nERROR: libtpu not found.", "No TPU chips found.", GOOGLE),
        ('{"card0": {"chip0": {"status": "Act', '{"card0": {"chip0": {"status": "Act', UNKNOWN),
        ('[{"a": 1}, 2]', '[{"a": 1}, 2]', UNKNOWN),
        ("💥 " + "x" * 500, "? " + "x" * 118, UNKNOWN),
        ("{" * 2**22, "{" * 120, UNKNOWN),
        ('{"card0": ' * 20_000, " ".join(['{"card0":'] * 12), UNKNOWN),
        (f'{{"card0": {"9" * 5000}}}', '{"card0": ' + "9" * 110, UNKNOWN),
    ],
)
def test_refusal(text: str, quote: str, advice: str) -> None:
    """What tells of no chip is refused in one line: what the tool said, and what to do."""
    assert f"tpu-smi told of no chip ({quote}): {advice}" == refusal(text)


WHOLE = json.dumps(document({"tpu_util": "9%"}))


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "tpu-smi"


async def no_files() -> tuple[Fact, ...]:
    return ()


async def look(at: float) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    """Look as a node without the driver's files does."""
    return await Sophgo(found_tool() or "tpu-smi", no_files).look(at)


def put(tool: Path, *lines: str, mode: int = 0o755) -> None:
    tool.write_text("\n".join(("#!/bin/sh", *lines)))
    tool.chmod(mode)


async def test_look(tool: Path) -> None:
    """A look runs the tool once, without its loop, for JSON, and passes the time on."""
    put(tool, 'test "$*" = "--noloop --json_format" || exit 9', f"echo '{WHOLE}'")

    assert parse(WHOLE, 7.0) == await look(7.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["exit 255"], f"tpu-smi ends with exit code 255 (no output): {LIBRARIES}"),
        (
            ["echo 'sgdev_communication: failed' >&2", "exit 1"],
            f"tpu-smi ends with exit code 1 (sgdev_communication: failed): {BUSY}",
        ),
        ([f"echo '{WHOLE}'", "exit 3"], f"tpu-smi ends with exit code 3 ({WHOLE[:120]}): {UNKNOWN}"),
        (["true"], f"tpu-smi told of no chip (no output): {LIBRARIES}"),
        (["kill -9 $$"], f"tpu-smi was ended by SIGKILL (no output): {LIBRARIES}"),
        (["printf '\\000\\377\\033[2J'"], f"tpu-smi told of no chip (??): {UNKNOWN}"),
    ],
)
async def test_look_that_fails(tool: Path, lines: list[str], expected: str) -> None:
    """A tool that fails gives no readings, whatever it printed, and the error says what to do."""
    put(tool, *lines)

    with pytest.raises(LookError) as caught:
        await look(7.0)

    assert expected == str(caught.value)


async def test_libraries_come_first(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime's libraries come before others of the same name, such as an emulator's."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/ppl/lib")
    put(tool, 'test "$LD_LIBRARY_PATH" = /opt/tpuv7/tpuv7-current/lib:/opt/ppl/lib || exit 9', f"echo '{WHOLE}'")

    assert parse(WHOLE, 7.0) == await look(7.0)


async def test_older_tool(tool: Path) -> None:
    """Where only bm-smi is found, it is asked once, for a copy of what it would draw on a terminal."""
    asked = 'test "$*/$LINES" = "--noloop --file=/dev/stdout/2" || exit 9'
    put(tool.with_name("bm-smi"), asked, f"while read -r line; do echo \"$line\"; done < '{CAPTURES / SINGLE}.txt'")

    readings_seen, told = await look(7.0)

    assert "bm-smi" == found_tool()
    assert parse(capture(SINGLE), 7.0, "bm-smi") == (readings_seen, told)
    assert "bm-smi --noloop --file=/dev/stdout" == told[0].path


async def test_older_tool_that_fails(tool: Path) -> None:
    """What bm-smi lacks is told by its name."""
    put(tool.with_name("bm-smi"), "echo 'Error opening terminal: xterm-color.'", "exit 1")

    with pytest.raises(LookError) as caught:
        await look(7.0)

    assert (
        "bm-smi ends with exit code 1 (Error opening terminal: xterm-color.): "
        "it needs the terminals' descriptions: mount /usr/share/terminfo and /lib/terminfo"
    ) == str(caught.value)


async def test_newer_tool_comes_first(tool: Path) -> None:
    """Where both tools are found, the newer one is asked."""
    put(tool, f"echo '{WHOLE}'")
    put(tool.with_name("bm-smi"), "exit 9")

    assert parse(WHOLE, 7.0) == await look(7.0)


async def test_files_add_what_the_tool_does_not_tell(tool: Path) -> None:
    """The driver's files say what the tool leaves out, and never replace what it says."""
    files = (
        Fact(catalog.SOPHGO_DRIVER, "1.1.3", "/opt/tpuv7"),
        Fact(catalog.SOPHGO_SCHEDULER, "reuse", "/lib/firmware/tpuv7"),
    )

    async def read() -> tuple[Fact, ...]:
        return files

    put(tool, f"echo '{WHOLE}'")
    _, told = await Sophgo("tpu-smi", read).look(7.0)
    put(tool, f"echo '{json.dumps(document({}, driver_version='1.9.3'))}'")
    _, newer = await Sophgo("tpu-smi", read).look(7.0)
    readings_seen, alone = await Sophgo("", read).look(7.0)

    known, known_newer = ({fact.name: fact.value for fact in facts} for facts in (told, newer))
    assert ("1.1.3", "reuse") == (known[catalog.SOPHGO_DRIVER], known[catalog.SOPHGO_SCHEDULER])
    assert "1.9.3" == known_newer[catalog.SOPHGO_DRIVER]
    assert len(known) == len(told)
    assert ((), None) == (readings_seen, next(fact.value for fact in alone if fact.name == catalog.SOPHGO_DEVICES))
    assert set(files) < set(alone)


@pytest.mark.parametrize(("mode", "why"), [(None, "No such file or directory"), (0o644, "Permission denied")])
async def test_tool_that_cannot_be_run(tool: Path, mode: int | None, why: str) -> None:
    """A tool that is missing, or may not be run, is told as such."""
    if mode is not None:
        put(tool, mode=mode)

    with pytest.raises(LookError) as caught:
        await look(7.0)

    assert f"tpu-smi cannot be run: {why}; mount it into the container" == str(caught.value)


def checked(text: str) -> tuple[Reading, ...]:
    """Assert that the text is refused, or gives possible numbers, each once, and words that can be sent anywhere."""
    try:
        found, told = parse(text, 7.0)
    except LookError:
        return ()
    assert all(math.isfinite(reading.value) and reading.value >= 0 for reading in found)
    assert len({(reading.metric, reading.labels) for reading in found}) == len(found)
    assert [value for reading in found for _, value in reading.labels if not value.isprintable()] == []
    assert all((fact.value is None) == bool(fact.why) for fact in told)
    return found


@given(st.text() | st.text('{}[]",:|+ \n\x1b0F%MB/cardhip'))
def test_any_text(text: str) -> None:
    """Whatever is printed, it is refused or gives possible numbers."""
    checked(text)


WORDS = st.sampled_from(
    ["Active", "Fault", "N/A", "F", "", "0%", "101%", "-5C", "41C", "30.2W", "950M", "1MB", "1MB/2MB"]
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | WORDS
KEYS = st.text(max_size=9) | st.sampled_from(
    [
        *("card0", "card1", "chip0", "chip1", "card_idx", "chip_index_of_card", "chip_num_of_card", "status", "name"),
        *("mem_usage", "mem_total", "tpu_util", "chip_temp", "tpu_power", "board_power", "currclk", "driver_version"),
    ]
)
ANYTHING = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6))


@given(ANYTHING)
def test_any_json(value: object) -> None:
    """Whatever JSON is printed, it is refused or gives possible numbers."""
    checked(json.dumps(value))


@given(st.lists(st.dictionaries(KEYS, ANYTHING, max_size=6), min_size=1, max_size=3), st.dictionaries(KEYS, VALUES))
def test_any_chips(chips: list[dict[str, Any]], card: dict[str, Any]) -> None:
    """Whatever is told of a card and its chips, there is never more than is told, and every number is possible."""
    assert len(checked(json.dumps({"card0": {**card, **{f"chip{n}": chip for n, chip in enumerate(chips)}}}))) >= 1


@given(st.sampled_from(NAMES), st.data())
def test_any_table(name: str, data: st.DataObject) -> None:
    """Whatever stands in place of a part of a capture, it is refused or gives possible numbers."""
    text = capture(name)
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 200))

    checked(text[:start] + data.draw(st.text(max_size=9) | WORDS | st.just("|")) + text[start + length :])
