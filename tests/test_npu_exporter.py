"""Huawei's npu-exporter gives the metrics that npu-smi gives, in base units, each figure with its own time."""

import asyncio
import math
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from goldens import compare
from hypothesis import given
from hypothesis import strategies as st

from monitor import catalog
from monitor.collect.ascend.exporter import WANTED, NpuExporter, seen
from monitor.collect.exposition import Sample, parse
from monitor.collect.fetch import LookError
from monitor.model import Fact, Reading

CAPTURES = Path(__file__).parent / "captures" / "npu_exporter"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.txt"))
TWO = "910B3_2npu_timestamps_RECONSTRUCTED"
EARLY = "310P3_2chips_early-labels_RECONSTRUCTED"
FAILED = "910A_failed-queries_RECONSTRUCTED"
NONE = "none_RECONSTRUCTED"
AT = 1723621890.0
WHERE = "http://exporter:8082/metrics"


def capture(name: str) -> str:
    """Give what the exporter showed; the file's first line says where it is from."""
    return (CAPTURES / f"{name}.txt").read_text(encoding="utf-8").partition("\n")[2]


@asynccontextmanager
async def exporter(body: bytes, status: str = "200 OK", path: str = "/metrics") -> AsyncIterator[str]:
    """Serve one answer at one path of a local address, and give the address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        found = status if asked == path else "404 Not Found"
        head = f"HTTP/1.1 {found}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())


async def look(text: str, at: float = AT) -> tuple[tuple[Reading, ...], tuple[Fact, ...]]:
    async with exporter(text.encode()) as url:
        return await NpuExporter(url).look(at)


def amounts(readings: tuple[Reading, ...]) -> dict[tuple[str, ...], float]:
    assert len({(one.metric, one.labels) for one in readings}) == len(readings)
    return {
        (one.metric, *(value for key, value in one.labels if key in {"device", "unit", "reason"})): one.value
        for one in readings
    }


def of(name: str, value: float, at: float | None = None, **labels: str) -> Sample:
    return Sample(f"npu_chip_info_{name}", {"id": "0", **labels}, value, at)


def told(*samples: Sample, at: float = AT) -> dict[tuple[str, ...], float]:
    return amounts(seen((of("name", 1.0), *samples), at, WHERE)[0])


@pytest.mark.parametrize("name", NAMES)
async def test_golden(name: str) -> None:
    """Each capture gives exactly the readings and facts, or the error, of its golden."""
    try:
        readings, facts = await look(capture(name))
        lines = [f"{r.metric}{{{','.join(f'{k}={v}' for k, v in r.labels)}}} {r.value!r} at {r.at!r}" for r in readings]
        lines += [f"{fact.name} = {fact.value} ({fact.why})" for fact in facts]
    except LookError as error:
        lines = [f"LookError: {re.sub('127[^/]*', 'exporter', str(error))}"]

    compare(CAPTURES / f"{name}.golden", "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", [TWO, EARLY, FAILED])
async def test_readings_fit_the_catalogue(name: str) -> None:
    """Every reading is a catalogued metric with its labels; every fact is catalogued, told or says why not."""
    readings, facts = await look(capture(name))

    for reading in readings:
        assert sorted(catalog.METRICS[reading.metric].labels) == [key for key, _ in reading.labels]
        assert reading.at <= AT
    assert {fact.name for fact in facts} <= set(catalog.FACTS)
    assert all((fact.value is None) == bool(fact.why) for fact in facts)


async def test_base_units() -> None:
    """Megabytes become bytes, megahertz hertz, percent ratios."""
    found = amounts((await look(capture(TWO)))[0])

    assert (59356 * 2**20, 65536 * 2**20) == (
        found[catalog.DEVICE_MEMORY_USED, "0"],
        found[catalog.DEVICE_MEMORY_TOTAL, "0"],
    )
    assert (1800e6, 0.57, 53.0, 271.4) == (
        found[catalog.DEVICE_CLOCK, "0"],
        found[catalog.DEVICE_UTILIZATION, "0"],
        found[catalog.DEVICE_TEMPERATURE, "0"],
        found[catalog.DEVICE_POWER, "0"],
    )
    assert (3.0, 0.0) == (
        found[catalog.DEVICE_ECC_ERRORS, "0", "corrected"],
        found[catalog.DEVICE_ECC_ERRORS, "0", "uncorrected"],
    )
    assert (0.62, 0.12, 0.51) == (
        found[catalog.DEVICE_UNIT_UTILIZATION, "0", "npu"],
        found[catalog.DEVICE_UNIT_UTILIZATION, "0", "aivector"],
        found[catalog.DEVICE_MEMORY_BANDWIDTH, "0"],
    )


async def test_times_are_the_exporters() -> None:
    """A figure has the time at which the exporter read it, and a device's age says how long that is ago."""
    readings, _ = await look(capture(TWO))

    assert {1723621883.587, 1723621883.932} == {one.at for one in readings if one.metric == catalog.DEVICE_CLOCK}
    assert pytest.approx(AT - 1723621883.932) == amounts(readings)[catalog.DEVICE_AGE, "1"]


async def test_values_without_time_are_of_now() -> None:
    """A figure without a time is of the moment of the look, and no age is told."""
    readings, _ = await look(capture(FAILED))

    assert {AT} == {one.at for one in readings}
    assert (catalog.DEVICE_AGE, "0") not in amounts(readings)


def test_clock_of_the_exporter_that_is_ahead() -> None:
    """A figure from the future is of now."""
    readings, _ = seen((of("power", 90.0, AT + 60),), AT, WHERE)

    assert {AT} == {one.at for one in readings}
    assert 0.0 == amounts(readings)[catalog.DEVICE_AGE, "0"]


async def test_failed_queries() -> None:
    """A chip of which nothing could be read is there, and no figure of it, least of all another memory's."""
    found = amounts((await look(capture(FAILED)))[0])

    assert {(catalog.DEVICE_INFO, "1")} == {key for key in found if key[1] == "1"}
    assert 32768 * 2**20 == found[catalog.DEVICE_MEMORY_TOTAL, "0"]


async def test_chips_without_hbm() -> None:
    """On an inference card the DDR is the device's memory; its zero temperature was not read."""
    found = amounts((await look(capture(EARLY)))[0])

    assert (20385 * 2**20, 0.98, 0.0) == (
        found[catalog.DEVICE_MEMORY_USED, "1"],
        found[catalog.DEVICE_UTILIZATION, "1"],
        found[catalog.DEVICE_HEALTHY, "1"],
    )
    assert (catalog.DEVICE_TEMPERATURE, "1") not in found


@pytest.mark.parametrize("name", ["910B3-Ascend-V1", "910B3"])
async def test_products_are_called_as_npu_smi_calls_them(name: str) -> None:
    """A product is one fact's value whoever was asked; the driver's version nobody tells here."""
    _, facts = await look(capture(TWO).replace("910B3-Ascend-V1", name))
    values = {fact.name: fact.value for fact in facts}

    assert ("2x 910B3", None, "OK", "npu-exporter") == (
        values[catalog.ASCEND_DEVICES],
        values[catalog.ASCEND_DRIVER],
        values[catalog.ASCEND_HEALTH],
        values[catalog.ASCEND_SOURCE],
    )


async def test_health_words() -> None:
    """Chips that are not alike in health are counted; one that could not be asked has no word."""
    early, failed = [{fact.name: fact.value for fact in (await look(capture(name)))[1]} for name in (EARLY, FAILED)]

    assert ("OK=1,unhealthy=1", "OK=1") == (early[catalog.ASCEND_HEALTH], failed[catalog.ASCEND_HEALTH])


async def test_devices_that_serve() -> None:
    """The exporter tells processes too: those that are vLLM's mark the devices that serve."""

    async def served(pids: frozenset[int]) -> frozenset[int]:
        return pids & {418635}

    async with exporter(capture(TWO).encode()) as url:
        _, facts = await NpuExporter(url, served).look(AT)

    assert "0" == next(fact.value for fact in facts if fact.name == catalog.ASCEND_SERVED)


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0])
def test_health_that_is_no_health(value: float) -> None:
    """Health is 1 or 0; anything else is not known."""
    assert {(catalog.DEVICE_INFO, "0")} == set(told(of("health_status", value)))


@pytest.mark.parametrize(
    ("name", "value"),
    [("utilization", 101.0), ("power", 0.0), ("temperature", 0.0), ("aicore_current_freq", 0.0), ("power", 1e6)],
)
def test_what_cannot_be_is_absent(name: str, value: float) -> None:
    """What is beyond what a chip can do, and the zeros of what is never zero, are no readings."""
    assert {(catalog.DEVICE_INFO, "0")} == set(told(of(name, value)))


def test_newest_figure_counts() -> None:
    """A chip that changed its container is told twice: the newer figure counts, wherever it stands."""
    old, new = of("power", 1.0, AT - 60, pod_name="a"), of("power", 2.0, AT - 1, pod_name="b")

    assert 2.0 == told(old, new)[catalog.DEVICE_POWER, "0"] == told(new, old)[catalog.DEVICE_POWER, "0"]


def test_errors_of_this_boot_where_no_others_are_told() -> None:
    """Errors of the memory's whole life count, and where these are not told, those since the start."""
    assert 1.0 == told(of("hbm_ecc_single_bit_error_cnt", 1.0))[catalog.DEVICE_ECC_ERRORS, "0", "corrected"]


def test_devices_in_order() -> None:
    """Chips are told in the order of their numbers."""
    samples = [Sample("npu_chip_info_power", {"id": str(number)}, 9.0) for number in (10, 2, 0)]
    readings, _ = seen(samples, AT, WHERE)

    assert ["0", "2", "10"] == [dict(one.labels)["device"] for one in readings if one.metric == catalog.DEVICE_POWER]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (capture(NONE), "200 OK", "/metrics shows no NPU: see its log"),
        ("go_goroutines 3\n", "200 OK", "/metrics is no npu-exporter"),
        ("busy", "503 Busy", "/metrics answers with HTTP 503: correct [ascend] npu_exporter_url"),
        ('npu_chip_info_power{id="0"} x\n', "200 OK", "/metrics is not a Prometheus exposition"),
    ],
)
async def test_refusal(body: str, status: str, error: str) -> None:
    """What is no npu-exporter's, or tells of no NPU, is refused in one line."""
    async with exporter(body.encode(), status) as url:
        with pytest.raises(LookError) as caught:
            await NpuExporter(url).look(AT)

    assert error in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_nobody_listens() -> None:
    """Where nothing listens, it is the exporter that is asked after."""
    with pytest.raises(LookError) as caught:
        await NpuExporter("http://127.0.0.1:9").look(AT)

    assert "http://127.0.0.1:9 does not answer: connection refused; does npu-exporter listen there?" == str(
        caught.value
    )
    assert caught.value.refused


async def test_path_of_its_own() -> None:
    """An address with a path is asked there."""
    async with exporter(capture(TWO).encode(), path="/proxy/npu") as url:
        readings, _ = await NpuExporter(f"{url}/proxy/npu").look(AT)

    assert readings


CALLED = st.sampled_from(
    ["health_status", "utilization", "power", "hbm_used_memory", "hbm_total_memory", "total_memory", "used_memory"]
)
SAMPLES = st.builds(
    of,
    CALLED | st.text(max_size=9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.floats(0, 4e9),
)


@given(st.lists(SAMPLES, max_size=20))
def test_any_samples(samples: list[Sample]) -> None:
    """Whatever the exporter tells, each figure is possible, told once, and no younger than now."""
    readings, _ = seen((of("name", 1.0), *samples), AT, WHERE)

    assert len(amounts(readings)) == len(readings)
    assert all(math.isfinite(one.value) and one.value >= 0 and one.at <= AT for one in readings)


@given(st.sampled_from([TWO, EARLY, FAILED]), st.data())
def test_any_exposition_mutated(name: str, data: st.DataObject) -> None:
    """Whatever stands in place of a part of an exposition, it is refused or gives possible figures."""
    text = capture(name)
    start, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 200))
    changed = text[:start] + data.draw(st.text('0129. {}="\n-eN', max_size=9)) + text[start + length :]

    try:
        readings, _ = seen(parse(changed, WANTED), AT, WHERE)
    except LookError:
        return
    assert all(math.isfinite(one.value) and one.value >= 0 for one in readings)


def test_facts_are_not_secret() -> None:
    """No label of the exporter's but a chip's number and name goes any further."""
    chip = of("power", 9.0, pod_name="secret-pod", container_name="secret", vdie_id="SECRET")
    readings, facts = seen((chip,), AT, WHERE)

    assert "secret" not in f"{readings}{facts}".lower()
