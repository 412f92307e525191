"""What nvidia-smi prints as CSV becomes readings and facts; what it does not tell is absent."""

import math
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.command import Output
from monitor.collect.fetch import LookError
from monitor.collect.nvidia.smi import FIELDS, Smi, judge, parse
from monitor.model import Fact, Reading

CAPTURES = Path(__file__).parent / "captures" / "nvidia"
ERRORS = sorted(path.stem for path in CAPTURES.glob("error_*.txt"))
NAMES = sorted({path.stem for path in CAPTURES.glob("*.txt")} - {*ERRORS})

SEE_DMESG = "see dmesg (NVRM, Xid)"
CONTAINER = "in a container, start it with --gpus all"
MESSAGES = {
    "error_no-devices": "ends with exit code 6: No devices were found; "
    f"{CONTAINER}; else see lspci and dmesg (NVRM, Xid)",
    "error_no-driver": "ends with exit code 6: NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA "
    "driver. Make sure that the latest NVIDIA driver is installed and running; "
    "load the driver (modprobe nvidia; dmesg tells why it does not)",
    "error_no-library": "ends with exit code 6: NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. "
    "Please make sure that the NVIDIA Display Driver is properly installed and present in your system; "
    f"{CONTAINER} and NVIDIA_DRIVER_CAPABILITIES=utility",
    "error_no-permission": "ends with exit code 6: Failed to initialize NVML: Insufficient Permissions; "
    "give this user or container /dev/nvidiactl and /dev/nvidia*",
    "error_unknown": "ends with exit code 6: Failed to initialize NVML: Unknown Error; "
    f"a container loses its devices when systemd reloads, start it again; else {SEE_DMESG}",
    "error_version-mismatch": "ends with exit code 6: Failed to initialize NVML: Driver/library version mismatch; "
    "the driver was upgraded under a running kernel: reboot, or reload the nvidia modules",
    "error_only-gpu-lost": "lists no GPU: Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  "
    f"Reboot the system to recover this GPU; reboot the host, or reset the GPU; {SEE_DMESG}",
}
SHORT = ("index", "power.draw", "clocks_event_reasons.active")


def capture(name: str) -> tuple[str, tuple[str, ...]]:
    """Give what the tool printed and what it was asked for, as the first line of a capture says."""
    comment, _, text = (CAPTURES / f"{name}.txt").read_text().partition("\n")
    return text, tuple(comment.partition("query: ")[2].split(","))


def amounts(text: str, fields: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    readings, _ = parse(text, fields, 0.0)
    return {
        (reading.metric, *(v for k, v in reading.labels if k in {"device", "reason"})): reading.value
        for reading in readings
    }


def known(text: str, fields: tuple[str, ...]) -> dict[str, Fact]:
    return {fact.name: fact for fact in parse(text, fields, 0.0)[1]}


def script(path: Path, *lines: str) -> str:
    """Write a tool that keeps each query in a file beside it."""
    path.write_text("\n".join(("#!/bin/sh", f'echo "$*" >> {path}.log', *lines)) + "\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("name", NAMES)
def test_golden(name: str) -> None:
    """Each capture gives exactly the readings and facts of its golden."""
    readings, facts = parse(*capture(name), 0.0)
    lines = [
        f"{reading.metric}{{{','.join(f'{key}={value}' for key, value in reading.labels)}}} {reading.value!r}"
        for reading in readings
    ]
    lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in facts]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_readings_fit_the_catalogue(name: str) -> None:
    """Every reading is a catalogued metric with its labels, at the given time, and none is given twice."""
    readings, facts = parse(*capture(name), 7.0)

    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert reading.at == 7.0
    assert len({(reading.metric, reading.labels) for reading in readings}) == len(readings)
    assert [name for name in catalog.FACTS if name.startswith("nvidia.")] == [fact.name for fact in facts]


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_what_would_help(name: str) -> None:
    """Each message becomes one line with its remedy."""
    with pytest.raises(LookError) as caught:
        judge(Output(6, capture(name)[0]), FIELDS, 0.0)

    assert f"nvidia-smi {MESSAGES[name]}" == str(caught.value)


def test_every_error_capture_has_its_message() -> None:
    """No error sample goes unchecked."""
    assert sorted(MESSAGES) == ERRORS


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (Output(-11, ""), "nvidia-smi was ended by SIGSEGV: no output; run nvidia-smi by hand to see more"),
        (Output(0, ""), "nvidia-smi lists no GPU: no output; run nvidia-smi by hand to see more"),
        (Output(0, "0, 80\n"), "nvidia-smi lists no GPU: 0, 80; run nvidia-smi by hand to see more"),
        (Output(3, "\x1b[1moh\x07\n"), "nvidia-smi ends with exit code 3: ?[1moh?; run nvidia-smi by hand to see more"),
    ],
)
def test_other_failures(printed: Output, expected: str) -> None:
    """A failure that is not known by its text is told with how the tool ended and what it said, printably."""
    with pytest.raises(LookError) as caught:
        judge(printed, SHORT, 0.0)

    assert expected == str(caught.value)


def test_rows_of_a_failed_run_are_no_data() -> None:
    """Rows that end in a failure may lack GPUs, which must not look as if they were gone."""
    with pytest.raises(LookError, match="was ended by SIGSEGV"):
        judge(Output(-11, "0, 80, 0x0\n"), SHORT, 0.0)


@pytest.mark.parametrize("code", [0, 14, 15, 255])
def test_rows_beside_a_lost_gpu_count(code: int) -> None:
    """A run that failed for a GPU that it names tells the truth of the others, whatever its exit code."""
    text, fields = capture("h100x3_550_lost_unlisted")
    readings, _ = judge(Output(code, text), fields, 0.0)

    healthy = {
        dict(reading.labels)["device"]: reading.value
        for reading in readings
        if reading.metric == catalog.DEVICE_HEALTHY
    }
    assert {"1": 0.0} == healthy


def test_warning_about_an_inforom() -> None:
    """A corrupted infoROM makes an exit code of its own beside whole rows."""
    text = "0, 80, 0x0\nWARNING: infoROM is corrupted at gpu 0000:3B:00.0\n"

    assert parse("0, 80, 0x0\n", SHORT, 0.0) == judge(Output(14, text), SHORT, 0.0)


@pytest.mark.parametrize(
    ("line", "device", "words"),
    [
        ("GPU 0000:5D:00.0: GPU is lost.  Reboot the system to recover this GPU", "1", "GPU is lost"),
        ("GPU0000:17:00.0: Unknown Error", "1", "Unknown Error"),
        ("gpu 00000000:17:00.0: Unknown Error", "1", "Unknown Error"),
        ("GPU 000:BA:80.0: Unknown Error", "1", "Unknown Error"),
        ("GPU7: 0000:5D:00.0: GPU is lost.", "7", "GPU is lost"),
        ("GPU7: Unknown Error", "7", "Unknown Error"),
        ("GPU 0000:5D:00.0", "1", "it cannot be reached"),
    ],
)
def test_lost_gpus(line: str, device: str, words: str) -> None:
    """A GPU that cannot be listed is unhealthy with words: by its index, else by the one missing between the others."""
    text = f"Unable to determine the device handle for {line}\n0, 80, 0x0\n2, 80, 0x0\n"

    assert 0.0 == amounts(text, SHORT)[catalog.DEVICE_HEALTHY, device]
    assert f"{device}: {words}" == known(text, SHORT)[catalog.NVIDIA_HEALTH].value


def test_several_lost_gpus_have_names_of_their_own() -> None:
    """GPUs without index take the missing ones in order, and after the last row the next ones."""
    lost = "Unable to determine the device handle for GPU 0000:{}:00.0: Unknown Error\n"
    text = f"{lost.format('01')}{lost.format('02')}0, 80, 0x0\n2, 80, 0x0\n"

    assert "1: Unknown Error; 3: Unknown Error" == known(text, SHORT)[catalog.NVIDIA_HEALTH].value


def test_forbidden_gpu_is_another_containers() -> None:
    """A GPU that this container may not open is neither healthy nor unhealthy: it is not here."""
    text = "Unable to determine the device handle for GPU1: 0000:5D:00.0: Insufficient Permissions\n0, 80, 0x0\n"

    assert parse("0, 80, 0x0\n", SHORT, 0.0) == parse(text, SHORT, 0.0)


@pytest.mark.parametrize(
    "cell",
    [
        "[N/A]",
        "N/A",
        "[Not Supported]",
        "[Unknown Error]",
        "ERR!",
        "",
        "-",
        "[Requested functionality has been deprecated]",
    ],
)
def test_what_is_not_told_is_absent(cell: str) -> None:
    """A cell that tells nothing is no reading, never 0, and no verdict."""
    text = f"0, {', '.join([cell] * (len(FIELDS) - 1))}\n"

    assert {(catalog.DEVICE_INFO, "0")} == amounts(text, FIELDS).keys()
    assert {"1x unknown"} == {fact.value for fact in known(text, FIELDS).values() if fact.value is not None}


@pytest.mark.parametrize("number", ["99999", "-5", "1e3", "inf", "nan", "0x10", "80 W", "8 0"])
def test_numbers_that_are_codes(number: str) -> None:
    """What is no plain number, or beyond what a GPU can draw, is no reading."""
    assert {(catalog.DEVICE_INFO, "0")} == amounts(f"0, {number}, x\n", SHORT).keys()


@pytest.mark.parametrize(
    ("bits", "reasons"),
    [
        ("0x0000000000000000", set()),
        ("0x0000000000000001", set()),
        ("0x0000000000000002", set()),
        ("0x0000000000000004", {"power_cap"}),
        ("0x0000000000000048", {"hw_slowdown", "hw_thermal"}),
        ("0x0000000000000088", {"hw_slowdown", "power_brake"}),
        ("0x0000000000000020", {"sw_thermal"}),
        ("0x0000000000000010", {"sync_boost"}),
        ("0xFFFFFFFFFFFFFFFF", {"hw_slowdown", "hw_thermal", "power_brake", "power_cap", "sw_thermal", "sync_boost"}),
    ],
)
def test_throttle_reasons(bits: str, reasons: set[str]) -> None:
    """Each reason is 1 or 0; being idle and clocks that somebody chose are none."""
    text = f"0, 80, {bits}\n"
    told = {key[2]: value for key, value in amounts(text, SHORT).items() if key[0] == catalog.DEVICE_THROTTLED}

    assert reasons == {reason for reason, value in told.items() if value}
    assert 6 == len(told)
    assert (",".join(sorted(reasons)) or "none") == known(text, SHORT)[catalog.NVIDIA_THROTTLE].value


def test_reasons_that_a_gpu_cannot_tell_are_absent() -> None:
    """A reason that the GPU does not support is no reading, rather than 0."""
    fields = (*SHORT, "clocks_event_reasons.supported")
    told = {key[2] for key in amounts("0, 80, 0x4, 0x0000000000000005\n", fields) if key[0] == catalog.DEVICE_THROTTLED}

    assert {"power_cap"} == told


@pytest.mark.parametrize(
    ("limit", "default", "value"),
    [
        ("700.00", "700.00", "default"),
        ("699.99", "700.00", "default"),
        ("500.00", "700.00", "500 of 700 W"),
        ("[N/A]", "700.00", None),
        ("700.00", "[N/A]", None),
    ],
)
def test_power_limit(limit: str, default: str, value: str | None) -> None:
    """A limit below the default is told with both."""
    fields = ("index", "enforced.power.limit", "power.default_limit")

    assert value == known(f"0, {limit}, {default}\n", fields)[catalog.NVIDIA_POWER_LIMIT].value


def test_lost_gpu_changes_no_setting() -> None:
    """What the other GPUs agree on is still one word: a lost GPU must not look as if somebody had changed a setting."""
    text = "0, Enabled\n1, [GPU is lost]\n"

    assert "enabled" == known(text, ("index", "persistence_mode"))[catalog.NVIDIA_PERSISTENCE].value


@pytest.mark.parametrize(
    ("cells", "healthy", "words"),
    [
        (("No", "No", "No", "None"), 1.0, "ok"),
        (("[N/A]", "[N/A]", "[N/A]", "[N/A]"), None, None),
        (("[N/A]", "[N/A]", "[N/A]", "None"), 1.0, "ok"),
        (("Yes", "No", "No", "None"), 0.0, "0: memory pages wait to be retired: reboot"),
        (("No", "Yes", "No", "None"), 0.0, "0: memory rows wait to be remapped: reset it"),
        (("No", "Yes", "Yes", "Reset"), 0.0, "0: memory rows could not be remapped: replace it"),
        (("No", "No", "No", "Drain and Reset"), 0.0, "0: the driver asks for this: Drain and Reset"),
    ],
)
def test_health(cells: tuple[str, ...], healthy: float | None, words: str | None) -> None:
    """Health is what the driver itself says is to be done; where it says nothing there is none."""
    fields = ("index", "retired_pages.pending", "remapped_rows.pending", "remapped_rows.failure", "gpu_recovery_action")
    text = f"0, {', '.join(cells)}\n"

    assert healthy == amounts(text, fields).get((catalog.DEVICE_HEALTHY, "0"))
    assert words == known(text, fields)[catalog.NVIDIA_HEALTH].value


def test_modes_that_differ_are_counted() -> None:
    """GPUs of two minds are both told, with their counts."""
    text = "0, Enabled\n1, Disabled\n2, Enabled\n3, [N/A]\n"

    assert "disabled=1,enabled=2" == known(text, ("index", "persistence_mode"))[catalog.NVIDIA_PERSISTENCE].value


async def test_look(tmp_path: Path) -> None:
    """One run asks for all fields, as CSV without header and units."""
    text, _ = capture("h100x4_590_busy_capped")
    (tmp_path / "printed").write_text(text)

    seen = await Smi(script(tmp_path / "smi", f"cat {tmp_path}/printed")).look(5.0)

    assert parse(text, FIELDS, 5.0) == seen
    assert f"--query-gpu={','.join(FIELDS)} --format=csv,noheader,nounits\n" == (tmp_path / "smi.log").read_text()


OLD_TOOL = """\
query=${1#--query-gpu=}
for field in $(echo $query | tr , ' '); do
  case $field in
    clocks_event_reasons.*|remapped_rows.*|gpu_recovery_action|mig.*)
      echo "Field \\"$field\\" is not a valid field to query."; exit 2;;
    index) row=0;;
    clocks_throttle_reasons.active) row="$row, 0x0000000000000004";;
    power.draw) row="$row, 250.00";;
    *) row="$row, [N/A]";;
  esac
done
echo "$row"
"""


async def test_fields_that_the_tool_does_not_know(tmp_path: Path) -> None:
    """A tool that refuses fields is asked without them, or by their older name, and from then on at once."""
    smi = Smi(script(tmp_path / "smi", OLD_TOOL))

    readings, _ = await smi.look(0.0)
    runs = len((tmp_path / "smi.log").read_text().splitlines())
    await smi.look(1.0)

    values = {(reading.metric, dict(reading.labels).get("reason", "")): reading.value for reading in readings}
    assert (250.0, 1.0) == (values[catalog.DEVICE_POWER, ""], values[catalog.DEVICE_THROTTLED, "power_cap"])
    assert runs + 1 == len((tmp_path / "smi.log").read_text().splitlines())


@pytest.mark.parametrize("field", ["index", "no_such_field"])
async def test_refusal_that_cannot_be_helped(tmp_path: Path, field: str) -> None:
    """A tool that refuses what was not asked for, or what every row needs, is no endless loop."""
    smi = Smi(script(tmp_path / "smi", f"""echo 'Field "{field}" is not a valid field to query.'; exit 2"""))

    with pytest.raises(LookError, match=f'^nvidia-smi ends with exit code 2: Field "{field}" is not a valid field'):
        await smi.look(0.0)


async def test_missing_tool(tmp_path: Path) -> None:
    """A tool that is not there is told."""
    with pytest.raises(LookError, match="cannot be run: No such file or directory"):
        await Smi(str(tmp_path / "nvidia-smi")).look(0.0)


def outcome(text: str, fields: tuple[str, ...]) -> tuple[Reading, ...] | str:
    try:
        return parse(text, fields, 0.0)[0]
    except LookError as error:
        return str(error)


def survives(text: str, fields: tuple[str, ...]) -> None:
    found = outcome(text, fields)
    if isinstance(found, str):
        assert found.isprintable()
        assert found.startswith("nvidia-smi lists no GPU: ")
    else:
        assert all(math.isfinite(reading.value) and reading.value >= 0 for reading in found)
        assert len({(reading.metric, reading.labels) for reading in found}) == len(found)


@given(st.text())
def test_any_text(text: str) -> None:
    """Whatever is printed, the parser gives finite values or one line that says what is wrong."""
    survives(text, FIELDS)


CELLS = st.one_of(
    st.sampled_from(["[N/A]", "ERR!", "Enabled", "Yes", "No", "0x1F", "None", "[GPU is lost]", "0", "81559", "700.00"]),
    st.text(max_size=8),
    st.floats().map(str),
    st.integers().map(str),
)


@given(st.lists(st.lists(CELLS, min_size=len(FIELDS) - 2, max_size=len(FIELDS)), max_size=4))
def test_any_cells(rows: list[list[str]]) -> None:
    """Rows of any cells give finite values, each once."""
    survives("\n".join(f"{index}, {', '.join(row)}" for index, row in enumerate(rows)), FIELDS)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_mutilated_captures(name: str, data: st.DataObject) -> None:
    """A capture that was cut, glued or shuffled gives finite values of its own, or the reason why none."""
    text, fields = capture(name)
    lines = text.splitlines()
    cut = data.draw(st.integers(0, len(text)))
    glued = text.replace(", ", data.draw(st.sampled_from([",", "", "  ,  ", "; "])))
    for mutated in (text[:cut], text[cut:], glued, "\n".join(data.draw(st.permutations(lines))), text * 2):
        survives(mutated, fields)


@pytest.mark.parametrize("name", NAMES)
def test_order_and_repetition_of_rows_do_not_matter(name: str) -> None:
    """GPUs are told apart by their index, not by their place."""
    text, fields = capture(name)
    again = "\n".join([*reversed(text.splitlines()), *text.splitlines()])

    assert parse(text, fields, 0.0) == parse(again, fields, 0.0)
