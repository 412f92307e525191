"""What the doctor says of where things run: what is in the way of a connection, and what the node has and shows."""

from pathlib import Path

import pytest

from monitor import catalog
from monitor.collect.fetch import NAMELESS, REFUSED
from monitor.doctor import Check, node
from monitor.doctor.advice import GATEWAY, OWN_LOOPBACK, START, unanswered
from monitor.model import Fact, Snapshot
from monitor.settings import Ascend, Host, Settings, Target

ALONE = "with --host localhost only its own machine or container reaches it"
FOUND = Snapshot("process", 0.0, 0.0, facts=(Fact(catalog.PROCESS_PID, "17"),))
SILENT = Snapshot("process", 0.0, 0.0, facts=(Fact(catalog.PROCESS_PID, None, why="it does not listen yet"),))


def advice(url: str, process: Snapshot | None, words: str = REFUSED, *, contained: bool = True) -> str:
    snapshot = Snapshot("vllm", 0.0, 0.0, error=f"{url} does not answer: {words}", refused=words == REFUSED)
    check = unanswered("target llama", Target(url=url), snapshot, process, contained=contained)
    assert (False, snapshot.error) == (check.works, check.says)
    return check.add


def test_nobody_listens() -> None:
    """Who refuses us may listen for itself alone: that is said where the server's process is seen, and where it may be.

    Inside a container the first guess is that its own loopback was asked.
    """
    assert OWN_LOOPBACK == advice("http://localhost:8000", FOUND)
    assert START == advice("http://localhost:8000", FOUND, contained=False)
    assert advice("http://host.docker.internal:8000", FOUND).startswith("vLLM runs, as process 17, and does not listen")
    assert ALONE in advice("http://host.docker.internal:8000", FOUND)
    assert "wait: it does not listen yet" == advice("http://localhost:8000", SILENT, contained=False)
    assert advice("http://vllm:8000", None).startswith(f"{START}; if it runs, ")
    assert ALONE in advice("http://vllm:8000", None)


@pytest.mark.parametrize(
    ("url", "words", "add"),
    [
        ("http://vllm:8000", f"{NAMELESS} (Name or service not known)", "correct the url; in a container "),
        ("http://host.docker.internal:8000", f"{NAMELESS} (Name or service not known)", GATEWAY),
        ("http://vllm:8000", "it takes too long", "see whether vLLM hangs, and that no firewall drops "),
        ("http://vllm:8000", "[Errno 113] No route to host", START),
    ],
)
def test_nobody_is_reached(url: str, words: str, add: str) -> None:
    """What else stands in the way of a connection has its own advice."""
    assert advice(url, None, words).startswith(add)


def settings(root: Path, **ascend: str) -> Settings:
    host = Host(procfs=root / "proc", sysfs=root / "sys", rootfs=root)
    return Settings(host=host, ascend=Ascend.model_validate(ascend))


def plug(root: Path, slot: str, vendor: str, kind: str) -> None:
    device = root / "sys/bus/pci/devices" / slot
    device.mkdir(parents=True)
    (device / "vendor").write_text(f"{vendor}\n")
    (device / "class").write_text(f"{kind}\n")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder that is all of PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.usefixtures("tools")
async def test_devices_that_nobody_is_asked_for(tmp_path: Path) -> None:
    """Where no tool is, what the node has on PCI says whether one should be; a vendor's other devices do not count."""
    plug(tmp_path, "0000:01:00.0", "0x19e5", "0x120000")
    plug(tmp_path, "0000:02:00.0", "0x19e5", "0x120000")
    plug(tmp_path, "0000:03:00.0", "0x19e5", "0x030000")
    plug(tmp_path, "0000:04:00.0", "0x10de", "0x068000")
    (tmp_path / "sys/bus/pci/devices/0000:05:00.0").mkdir()

    ascend, nvidia, sophgo = await node.devices(settings(tmp_path), contained=False)

    add = "mount npu-smi, or set [ascend] npu_exporter_url and source"
    assert Check("ascend", None, "no npu-smi here, and the node has 2 of its devices", add) == ascend
    assert nvidia.add.startswith("only if the node has such devices: ")
    assert "no tpu-smi here" == sophgo.says


async def test_a_lock_that_nobody_shares(tools: Path, tmp_path: Path) -> None:
    """In a container the lock of npu-smi must be put where others see it, too."""
    (tools / "npu-smi").write_text("#!/bin/sh\nexit 1\n")
    (tools / "npu-smi").chmod(0o755)
    lock = str(tmp_path / "lock")

    own = {check.name: check for check in await node.devices(settings(tmp_path), contained=True)}
    shared = {check.name for check in await node.devices(settings(tmp_path, lock_file=lock), contained=True)}

    assert (None, node.OWN_LOCK) == (own["ascend lock"].works, own["ascend lock"].add)
    assert own["ascend"].works is False
    assert "ascend lock" not in shared


@pytest.mark.parametrize(
    ("prints", "add"),
    [
        ("npu-smi: error while loading shared libraries: libdrvdsmi_host.so: cannot open", "mount /usr/local/Ascend/"),
        ("dcmi module initialize failed. ret is -8005", "run as root or join the group HwHiAiUser"),
        ("dcmi_get_card_list failed, ret is -8020", "another container holds the device"),
    ],
)
async def test_a_tool_that_fails(tools: Path, tmp_path: Path, prints: str, add: str) -> None:
    """A vendor's tool that is there and cannot reach its devices is told with what it lacks."""
    (tools / "npu-smi").write_text(f"#!/bin/sh\necho '{prints}'\nexit 1\n")
    (tools / "npu-smi").chmod(0o755)

    ascend, *_ = await node.devices(settings(tmp_path, lock_file=str(tmp_path / "lock")), contained=True)

    assert ("ascend", False) == (ascend.name, ascend.works)
    assert add in ascend.says


async def test_an_exporter_that_is_not_there(tmp_path: Path) -> None:
    """An npu-exporter that does not answer is told with the setting that names it."""
    ascend, *_ = await node.devices(
        settings(tmp_path, source="npu-exporter", npu_exporter_url="http://127.0.0.1:9"), contained=True
    )

    says = "http://127.0.0.1:9 does not answer: connection refused; does npu-exporter listen there?"
    assert Check("ascend", False, says, node.EXPORTER) == ascend


async def test_a_lock_that_cannot_be_made(tools: Path, tmp_path: Path) -> None:
    """A lock file that cannot be opened stops us from asking the tool, and the line says what to set."""
    (tools / "npu-smi").write_text("#!/bin/sh\nexit 0\n")
    (tools / "npu-smi").chmod(0o755)

    ascend, *_ = await node.devices(settings(tmp_path, lock_file=str(tmp_path / "no" / "lock")), contained=True)

    assert f"the lock file {tmp_path}/no/lock cannot be opened: No such file or directory" == ascend.says
    assert ascend.add.startswith("set lock_file to a path that can be")


@pytest.mark.usefixtures("tools")
async def test_facts_of_the_host(tmp_path: Path) -> None:
    """What cannot be read of the node is one line for each reason; a container's own /proc is told as such."""
    tree = Path(__file__).parent / "captures" / "host" / "vm-no-cpufreq"
    found = await node.host(Settings(host=Host(procfs=tree / "proc", sysfs=tree / "sys")), contained=True)
    own = await node.host(Settings(host=Host(sysfs=tmp_path)), contained=True)

    why = "no cpufreq here: a virtual machine, or frequency is managed by firmware"
    assert {"host", "host settings"} == {check.name for check in found}
    assert [True] == [check.says.endswith(why) for check in found if check.says.startswith("cpu.governor and ")]
    assert Check("host roots", None, "the container's own /proc is read", node.ROOTS) == own[0]
