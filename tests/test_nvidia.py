"""NVML's answers become readings and facts; what has no answer is absent, and one bad GPU hides no other."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_nvml import (
    CLOCK,
    CLOCK_DEFAULT,
    CLOCK_SET,
    CORRECTED,
    DEPRECATED,
    MAX_CLOCK,
    MEMORY,
    MIB,
    NVML,
    TEMPERATURE,
    UNCORRECTED,
    UNSUPPORTED,
    Error,
    FakeNvml,
    busy,
)
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.fetch import LookError
from monitor.collect.nvidia import smi
from monitor.collect.nvidia.nvml import Nvml, library
from monitor.collect.nvidia.xid import MOST
from monitor.devices import _nvidia
from monitor.model import Fact, Reading

Seen = tuple[tuple[Reading, ...], tuple[Fact, ...]]

CAPTURES = Path(__file__).parent / "captures" / "nvidia"
LOST = Error(NVML.NVML_ERROR_GPU_IS_LOST)
FORBIDDEN = Error(NVML.NVML_ERROR_NO_PERMISSION)
UNKNOWN = Error(NVML.NVML_ERROR_UNKNOWN)
NO_SUCH_CALL = Error(NVML.NVML_ERROR_FUNCTION_NOT_FOUND)
REASONS = ("hw_slowdown", "hw_thermal", "power_brake", "power_cap", "sw_thermal", "sync_boost")


def look(*gpus: Mapping[str, Any] | Error) -> Seen:
    return Nvml(FakeNvml(*gpus)).look(0.0)


def amounts(seen: Seen) -> dict[tuple[str, ...], float]:
    return {
        (reading.metric, *(value for key, value in reading.labels if key in {"device", "reason"})): reading.value
        for reading in seen[0]
    }


def known(seen: Seen) -> dict[str, str | None]:
    return {fact.name: fact.value for fact in seen[1]}


def test_same_as_nvidia_smi() -> None:
    """NVML and nvidia-smi say the same of the same GPUs: metrics, labels, values and facts."""
    capped, thermal = NVML.nvmlClocksEventReasonSwPowerCap, NVML.nvmlClocksEventReasonHwThermalSlowdown
    thermal |= NVML.nvmlClocksEventReasonHwSlowdown | NVML.nvmlClocksEventReasonSwThermalSlowdown
    full = busy(**{"PowerUsage": 699_410, CLOCK: 1755, TEMPERATURE: 68, "CurrentClocksEventReasons": capped})
    limited = busy(PowerUsage=498_200, EnforcedPowerLimit=500_000, CurrentClocksEventReasons=capped, **{CLOCK: 1410})
    hot = {"PowerUsage": 402_770, CLOCK: 990, TEMPERATURE: 88, CORRECTED: 17, "CurrentClocksEventReasons": thermal}
    printed = (CAPTURES / "h100x4_590_busy_capped.txt").read_text().partition("\n")[2]

    by_tool = smi.parse(printed, smi.FIELDS, 0.0)
    by_library = look(busy(), full, limited, busy(**hot))

    assert amounts(by_tool) == pytest.approx(amounts(by_library))
    assert {reading.labels for reading in by_tool[0]} == {reading.labels for reading in by_library[0]}
    assert {**known(by_tool), "nvidia.xid": "none"} == known(by_library)


def test_readings_fit_the_catalogue() -> None:
    """Every reading is a catalogued metric with its labels, at the given time; every fact says where it is from."""
    readings, facts = Nvml(FakeNvml(busy())).look(7.0)

    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert (7.0, float) == (reading.at, type(reading.value))
    assert [name for name in catalog.FACTS if name.startswith("nvidia.")] == [fact.name for fact in facts]
    assert {"NVML"} == {fact.path for fact in facts}


@pytest.mark.parametrize("error", [UNSUPPORTED, UNKNOWN, FORBIDDEN, DEPRECATED, NO_SUCH_CALL])
@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("UtilizationRates", {(catalog.DEVICE_UTILIZATION, "0")}),
        ("MemoryInfo", {(catalog.DEVICE_MEMORY_TOTAL, "0")}),
        (TEMPERATURE, {(catalog.DEVICE_TEMPERATURE, "0")}),
        ("PowerUsage", {(catalog.DEVICE_POWER, "0")}),
        ("EnforcedPowerLimit", {(catalog.DEVICE_POWER_LIMIT, "0")}),
        ("PowerManagementDefaultLimit", {(catalog.DEVICE_POWER_DEFAULT, "0")}),
        (CLOCK, {(catalog.DEVICE_CLOCK, "0")}),
        (MAX_CLOCK, {(catalog.DEVICE_CLOCK_MAX, "0")}),
        (CORRECTED, {(catalog.DEVICE_ECC_ERRORS, "0", "corrected")}),
        (UNCORRECTED, {(catalog.DEVICE_ECC_ERRORS, "0", "uncorrected")}),
        ("CurrentClocksEventReasons", {(catalog.DEVICE_THROTTLED, "0", reason) for reason in REASONS}),
        ("SupportedClocksEventReasons", set()),
        ("RemappedRows", set()),
        ("FieldValues", set()),
        ("EccMode", set()),
    ],
)
def test_question_without_answer(question: str, missing: set[tuple[str, ...]], error: Error) -> None:
    """What one query does not tell is absent, never 0; everything else is told as before."""
    gpu = busy(Temperature=UNSUPPORTED, CurrentClocksThrottleReasons=UNSUPPORTED)
    gpu |= {"SupportedClocksThrottleReasons": UNSUPPORTED, f"Temperature:{NVML.NVML_TEMPERATURE_GPU}": UNSUPPORTED}
    whole, less = amounts(look(gpu)), amounts(look(gpu | {question: error}))

    assert missing == whole.keys() - less.keys()
    assert less.items() <= whole.items()


def test_gpu_that_tells_nothing() -> None:
    """A GPU that supports no query is listed, without a verdict on its health."""
    seen = look(busy(**dict.fromkeys(busy(), UNSUPPORTED), **OLD_WAYS))

    assert {(catalog.DEVICE_INFO, "0"): 1.0} == amounts(seen)
    told = {"nvidia.devices": "1x unknown", "nvidia.driver": "590.48.01", "nvidia.xid": "none"}
    assert told == {name: value for name, value in known(seen).items() if value}


OLD_WAYS = {
    f"Temperature:{NVML.NVML_TEMPERATURE_GPU}": UNSUPPORTED,
    "CurrentClocksThrottleReasons": UNSUPPORTED,
    "SupportedClocksThrottleReasons": UNSUPPORTED,
}


def test_old_driver() -> None:
    """What only newer drivers know is asked the older way; their count of used memory includes what is reserved."""
    unknown = dict.fromkeys((MEMORY, TEMPERATURE, "CurrentClocksEventReasons"), NO_SUCH_CALL)
    unknown |= {"SupportedClocksEventReasons": NO_SUCH_CALL, "FieldValues": UNSUPPORTED}
    old = {f"Temperature:{NVML.NVML_TEMPERATURE_GPU}": 61, "CurrentClocksThrottleReasons": 4}
    told = amounts(look(busy(**unknown, **old, SupportedClocksThrottleReasons=4)))

    assert 61.0 == told[catalog.DEVICE_TEMPERATURE, "0"]
    assert 73891.0 * MIB == told[catalog.DEVICE_MEMORY_USED, "0"]
    assert {"power_cap": 1.0} == {key[2]: value for key, value in told.items() if key[0] == catalog.DEVICE_THROTTLED}


def test_old_binding() -> None:
    """What the installed binding has no name for is asked the older way, or absent."""
    nvml = FakeNvml(busy(**{f"Temperature:{NVML.NVML_TEMPERATURE_GPU}": 61}))
    nvml.unknown = {"nvmlDeviceGetTemperatureV", "nvmlDeviceGetPowerUsage", "NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"}
    told = amounts(Nvml(nvml).look(0.0))

    assert 61.0 == told[catalog.DEVICE_TEMPERATURE, "0"]
    assert (catalog.DEVICE_POWER, "0") not in told
    assert 1.0 == told[catalog.DEVICE_HEALTHY, "0"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (LOST, "GPU is lost"),
        (Error(NVML.NVML_ERROR_RESET_REQUIRED), "GPU requires restart"),
        (UNKNOWN, "Unknown Error"),
        (busy(PowerUsage=LOST), "GPU is lost"),
        (dict.fromkeys(busy(), LOST), "GPU is lost"),
        (busy(RemappedRows=(0, 1, 1, 0)), "memory rows wait to be remapped: reset it"),
        (busy(RemappedRows=(0, 9, 1, 1)), "memory rows could not be remapped: replace it"),
        (busy(RetiredPagesPendingStatus=1), "memory pages wait to be retired: reboot"),
        (busy(FieldValues=NVML.NVML_GPU_RECOVERY_ACTION_GPU_RESET), "the driver asks for this: reset the GPU"),
        (busy(FieldValues=NVML.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET), "the driver asks for this: drain and reset"),
        (busy(FieldValues=7), "the driver asks for this: action 7"),
    ],
)
def test_bad_gpu(bad: Mapping[str, Any] | Error, words: str) -> None:
    """A GPU that is lost or to be mended is unhealthy with words, and hides nothing of its neighbours."""
    alone, beside = amounts(look(busy(), busy())), look(busy(), bad, busy())
    neighbours = {
        (name, {"2": "1"}.get(device, device), *rest): value
        for (name, device, *rest), value in amounts(beside).items()
        if device != "1"
    }

    assert alone == neighbours
    assert 0.0 == amounts(beside)[catalog.DEVICE_HEALTHY, "1"]
    assert f"1: {words}" == known(beside)[catalog.NVIDIA_HEALTH]


def test_lost_gpu_is_asked_no_further() -> None:
    """Of a GPU that is lost nothing else is told, and nothing more is asked: each question may take its time."""
    nvml = FakeNvml(busy(UtilizationRates=LOST))
    told = amounts(Nvml(nvml).look(0.0))

    assert {(catalog.DEVICE_INFO, "0"): 1.0, (catalog.DEVICE_HEALTHY, "0"): 0.0} == told
    assert 3 == nvml.questions


def test_forbidden_gpu_is_another_containers() -> None:
    """A GPU that this process may not open is not here, rather than unhealthy; the others keep their index."""
    assert {"1"} == {key[1] for key in amounts(look(FORBIDDEN, busy()))}


def test_codes_are_no_values() -> None:
    """A number that no GPU can have is a code: absent."""
    told = amounts(look(busy(**{TEMPERATURE: 2**32 - 1, "PowerUsage": 2**32 - 1, MAX_CLOCK: 2**32 - 1})))

    absent = {catalog.DEVICE_TEMPERATURE, catalog.DEVICE_POWER, catalog.DEVICE_CLOCK_MAX}
    assert set() == absent & {key[0] for key in told}


@pytest.mark.parametrize(
    ("now", "default", "value"),
    [(1410, 1410, "default"), (1095, 1410, "1095 of 1410 MHz"), (1530, 1312, "raised"), (1410, UNSUPPORTED, None)],
)
def test_application_clocks(now: int, default: int | Error, value: str | None) -> None:
    """Clocks below the default are told with both; where they are not told, the fact says how else to see it."""
    facts = {fact.name: fact for fact in look(busy(**{CLOCK_SET: now, CLOCK_DEFAULT: default}))[1]}

    assert value == facts[catalog.NVIDIA_CLOCKS].value
    assert (value is None) == ("compare the clock" in facts[catalog.NVIDIA_CLOCKS].why)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Error(NVML.NVML_ERROR_DRIVER_NOT_LOADED), "Driver Not Loaded; load the driver (modprobe nvidia; dmesg tells"),
        (Error(NVML.NVML_ERROR_LIB_RM_VERSION_MISMATCH), "mismatch.; the driver was upgraded under a running kernel"),
        (FORBIDDEN, "Insufficient Permissions; give this user or container /dev/nvidiactl and /dev/nvidia*"),
        (UNKNOWN, "Unknown Error; a container loses its devices when systemd reloads"),
        (Error(NVML.NVML_ERROR_LIBRARY_NOT_FOUND), "Not Found; in a container, start it with --gpus all"),
    ],
)
@pytest.mark.parametrize("step", ["init", "count"])
def test_driver_that_cannot_be_reached(step: str, error: Error, expected: str) -> None:
    """A driver that does not work is one line with what to do."""
    nvml = FakeNvml(busy())
    setattr(nvml, step, error)

    with pytest.raises(LookError) as caught:
        Nvml(nvml).look(0.0)

    assert str(caught.value).startswith("NVML fails: ")
    assert expected in str(caught.value)


@pytest.mark.parametrize("gpus", [(), (FORBIDDEN,)])
def test_no_gpu(gpus: tuple[Error, ...]) -> None:
    """A driver without a GPU for us is told, with what to do."""
    with pytest.raises(
        LookError, match=r"^NVML lists no GPU; in a container, start it with --gpus all; else see lspci"
    ):
        look(*gpus)


def test_one_session() -> None:
    """The session is begun once for all looks, and ended once."""
    nvml = FakeNvml(busy())
    session = Nvml(nvml)

    for at in range(3):
        session.look(float(at))
    session.close()
    session.close()

    assert (1, 1) == (nvml.inits, nvml.shutdowns)


def test_session_that_broke_is_begun_anew() -> None:
    """After the driver was loaded again, the next look works in a new session."""
    nvml = FakeNvml(busy())
    session = Nvml(nvml)
    session.look(0.0)
    nvml.count = Error(NVML.NVML_ERROR_UNINITIALIZED)
    with pytest.raises(LookError):
        session.look(1.0)
    nvml.count = None

    readings, _ = session.look(2.0)

    assert (2, 1) == (nvml.inits, nvml.shutdowns)
    assert readings


def test_handles_of_a_session_that_broke() -> None:
    """A session that ends between two questions fails the look, rather than to call every GPU lost."""
    with pytest.raises(LookError, match=r"^NVML fails: Uninitialized"):
        look(Error(NVML.NVML_ERROR_UNINITIALIZED))


def test_look_that_hangs_does_not_hold_the_end() -> None:
    """While a look hangs in the driver, closing returns at once and leaves the session to the kernel."""
    asked, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        asked.set()
        go_on.wait(10.0)

    nvml = FakeNvml(busy())
    nvml.meanwhile = hang
    session = Nvml(nvml)
    looking = threading.Thread(target=session.look, args=(0.0,))
    looking.start()
    assert asked.wait(10.0)

    session.close()
    ended = nvml.shutdowns
    go_on.set()
    looking.join(10.0)
    session.close()

    assert (0, 1) == (ended, nvml.shutdowns)


def test_closed_before_any_look() -> None:
    """What was never begun is not ended."""
    nvml = FakeNvml(busy())
    Nvml(nvml).close()

    assert 0 == nvml.shutdowns


def xids(session: Nvml) -> str | None:
    return known(session.look(0.0))[catalog.NVIDIA_XID]


def test_xids() -> None:
    """Of what each GPU reported since the first look the last is told, until it reports another; whose it was, too."""
    nvml = FakeNvml(busy(), busy(), busy())
    session = Nvml(nvml)
    nvml.report(0, 62)
    told = [xids(session)]
    for reported in ((1, 48, 94), (2, 31), (), (1, 13)):
        nvml.report(*reported) if reported else None
        told.append(xids(session))

    both = "1: 94; 2: 31 by an application"
    assert ["none", "1: 94", both, both, "1: 13 by an application; 2: 31 by an application"] == told


@pytest.mark.parametrize("lost", [LOST, busy(UtilizationRates=LOST)])
def test_xid_of_a_lost_gpu(lost: Mapping[str, Any] | Error) -> None:
    """What a GPU reported before it was lost is told; it does not hide what others report."""
    nvml = FakeNvml(busy(), busy())
    session = Nvml(nvml)
    session.look(0.0)
    nvml.report(0, 79)
    nvml.report(1, 63)
    nvml.gpus[0] = lost

    assert "0: 79; 1: 63" == xids(session)


def test_xids_survive_a_session() -> None:
    """After the driver was gone GPUs are listened to anew, nothing is left open, and what was heard is still told."""
    nvml = FakeNvml(busy())
    session = Nvml(nvml)
    session.look(0.0)
    nvml.report(0, 119)
    session.look(0.0)
    nvml.count = UNKNOWN
    with pytest.raises(LookError):
        session.look(0.0)
    closed, nvml.count = dict(nvml.sets), None

    assert ({}, "0: 119", 1) == (closed, xids(session), len(nvml.sets))


@pytest.mark.parametrize(
    ("unknown", "deaf", "events"),
    [
        ("", UNSUPPORTED, Error(NVML.NVML_ERROR_TIMEOUT)),
        ("", NO_SUCH_CALL, Error(NVML.NVML_ERROR_TIMEOUT)),
        ("", None, UNKNOWN),
        ("", None, LOST),
        ("", None, NO_SUCH_CALL),
        *((name, None, Error(NVML.NVML_ERROR_TIMEOUT)) for name in ("nvmlEventSetCreate", "nvmlEventSetWait_v2")),
        ("nvmlDeviceRegisterEvents", None, Error(NVML.NVML_ERROR_TIMEOUT)),
    ],
)
def test_xids_that_cannot_be_heard(unknown: str, deaf: Error | None, events: Error) -> None:
    """Where GPU, driver or binding tell no XIDs that is not "none": it says what does; nothing else is lost by it."""
    nvml = FakeNvml(busy())
    nvml.unknown, nvml.deaf, nvml.events = {unknown}, deaf, events
    session = Nvml(nvml)
    readings, facts = session.look(0.0)
    fact = next(fact for fact in facts if fact.name == catalog.NVIDIA_XID)

    assert (None, {}) == (fact.value, nvml.sets)
    assert "see dmesg (NVRM, Xid)" in fact.why
    assert look(busy())[0] == readings
    assert fact in session.look(0.0)[1]


def test_xids_without_end() -> None:
    """A GPU that reports faster than it is asked holds no look up."""
    nvml = FakeNvml(busy())
    session = Nvml(nvml)
    session.look(0.0)
    nvml.report(0, *[13] * MOST, 48)

    assert ["0: 13 by an application", "0: 48"] == [xids(session), xids(session)]


@pytest.mark.parametrize(("shared_object", "there"), [("libc.so.6", True), ("libno-such-driver.so.1", False)])
def test_library(shared_object: str, there: bool) -> None:  # noqa: FBT001 - a parameter of the cases
    """The binding counts only where the driver's library can be loaded too."""
    assert there == (library(shared_object) is NVML)


async def test_library_is_asked_rather_than_the_tool() -> None:
    """Where the library can be loaded it is asked, in a thread of its own."""
    threads = []
    nvml = FakeNvml(busy())
    nvml.meanwhile = lambda: threads.append(threading.get_ident())
    source = _nvidia(nvml, "no-such-smi")
    seen = await source.look(0.0)

    assert ("NVML", "") == (source.asked, source.missing)
    assert look(busy()) == seen
    assert threading.get_ident() not in threads


async def test_tool_is_asked_without_library(tmp_path: Path) -> None:
    """Where only the tool is there, it is asked."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    tool.chmod(0o755)
    source = _nvidia(None, str(tool))

    assert (str(tool), "") == (source.asked, source.missing)
    with pytest.raises(LookError, match="No devices were found"):
        await source.look(0.0)


async def test_neither_library_nor_tool() -> None:
    """Where neither is there nobody is asked, and it is said what would change that."""
    source = _nvidia(None, "no-such-smi")

    assert "no no-such-smi here, and not both libnvidia-ml.so.1 and nvidia-ml-py" == source.missing
    assert "install vllm-monitor[nvidia]" in source.add
    with pytest.raises(LookError, match="no-such-smi cannot be run"):
        await source.look(0.0)


ANSWERS = st.one_of(
    st.integers(-(2**31), 2**64 - 1),
    st.sampled_from([LOST, UNKNOWN, UNSUPPORTED, FORBIDDEN, NO_SUCH_CALL]),
)
PLAIN = [name for name in busy() if isinstance(busy()[name], int)]


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(PLAIN, ANSWERS)), max_size=3))
def test_any_answers(gpus: list[dict[str, Any]]) -> None:
    """Whatever numbers and errors the driver gives, readings are what a GPU can have, each once."""
    seen = look(busy(), *(busy(**OLD_WAYS, **gpu) for gpu in gpus))

    assert len(amounts(seen)) == len(seen[0])
    assert all(0 <= reading.value < 2.0**64 for reading in seen[0])
    assert len(gpus) + 1 == sum(key[0] == catalog.DEVICE_INFO for key in amounts(seen))
