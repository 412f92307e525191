"""docker-compose.yml: every container is bounded, pinned and locked in, and what it mounts is there."""

import re
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools import checked

sys.path.append(str(Path(__file__).parent / "compose"))
from mail import sorted_out  # what `make compose-test` runs
from stage import RECEIVER, ROOT, built

FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OVERRIDES = [*sorted((ROOT / "deploy").glob("docker-compose.*.yml")), ROOT / "tests/compose/docker-compose.test.yml"]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
PRIVILEGED = {"npu-exporter"}
"""The driver tells others' NPUs to nobody else."""
UNTHROTTLED = {"vllm"}
"""Whose speed is watched."""

each = pytest.mark.parametrize("name", SERVICES)


def plain(text: str) -> str:
    """Give what stands there when no variable is set."""
    return re.sub(r"\$\{[^:}]+:-([^}]*)\}", r"\1", text)


@each
def test_locked_in(name: str) -> None:
    """Each has a read-only root, no capability, a user of its own, and comes back after a crash."""
    service = SERVICES[name]

    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert "unless-stopped" == service["restart"]
    assert (name in PRIVILEGED) == service.get("privileged", False) == service["user"].startswith("0:")


@each
def test_bounded(name: str) -> None:
    """Each has limits of memory, processes and log, and of CPU but for the server itself."""
    service = SERVICES[name]

    assert {"mem_limit", "pids_limit"} <= service.keys()
    assert (name in UNTHROTTLED) == ("cpus" not in service)
    assert {"max-size", "max-file"} == service["logging"]["options"].keys()


@each
def test_pinned(name: str) -> None:
    """Each image has the tag of one version; the one that is built here has ours."""
    image, _, tag = plain(SERVICES[name]["image"]).partition(":")

    assert re.fullmatch(r"v?\d+\.\d+\.\d+(-[a-z0-9.]+)?", tag)
    assert ("build" in SERVICES[name]) == (image == "vllm-monitor")
    assert image != "vllm-monitor" or tag == VERSION


@each
def test_health_is_asked(name: str) -> None:
    """Each is asked for its health, the monitor by what its image says."""
    if name == "monitor":
        assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    else:
        assert {"test", "interval", "timeout", "start_period"} == SERVICES[name]["healthcheck"].keys()


@each
def test_mounts_are_there(name: str) -> None:
    """What is mounted from this repository is in it, read-only; secrets are files, an empty one where none is given."""
    for mount in map(plain, SERVICES[name].get("volumes", [])):
        source, _, rest = mount.partition(":")
        assert not source.startswith(".") or (ROOT / source).exists(), mount
        assert not source.startswith((".", "/")) or rest.endswith(":ro"), mount
        assert source.startswith((".", "/")) or source in COMPOSE["volumes"], mount
    for secret in SERVICES[name].get("secrets", []):
        assert "" == (ROOT / plain(COMPOSE["secrets"][secret]["file"])).read_text()


@each
def test_only_the_loopback(name: str) -> None:
    """No port is open to other machines."""
    assert [] == [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")]


def test_variables_are_explained() -> None:
    """docs/install.md names each variable that the file heeds."""
    page = (ROOT / "docs/install.md").read_text()

    assert [] == [name for name in re.findall(r"\$\{(\w+)", FILE.read_text()) if name not in page]


def test_prometheus_finds_its_rules(tmp_path: Path) -> None:
    """Prometheus's folder, as it is mounted, is a configuration with its rules."""
    for mount in SERVICES["prometheus"]["volumes"][:-1]:
        source, target, _ = mount.split(":")
        shutil.copy(ROOT / source, tmp_path / Path(target).name)

    code, said, wrong = checked("", "prometheus", "promtool", "check", "config", str(tmp_path / "prometheus.yml"))

    assert (0, "") == (code, wrong), said
    assert "1 rule files found" in said


def provisioned(name: str) -> dict[str, Any]:
    """Read what Grafana is told by the one file of a folder that is mounted where it looks."""
    (source,) = (m.split(":")[0] for m in SERVICES["grafana"]["volumes"] if f":/etc/grafana/provisioning/{name}:" in m)
    (file,) = (ROOT / source).iterdir()
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def test_grafana_finds_its_dashboards() -> None:
    """Grafana looks for dashboards where they are mounted, and asks Prometheus where it listens."""
    (provider,) = provisioned("dashboards")["providers"]
    (source,) = provisioned("datasources")["datasources"]

    assert f"./dashboards:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]
    assert "http://prometheus:9090" == source["url"]
    assert [True] == [port.endswith(":9090") for port in SERVICES["prometheus"]["ports"]]


@pytest.mark.parametrize("override", [None, *OVERRIDES], ids=lambda path: path.name if path else "alone")
def test_compose_takes_the_files(override: Path | None) -> None:
    """docker-compose accepts the file, alone and with each override."""
    files = [word for file in (FILE, override) if file for word in ("--file", str(file))]
    command = ["docker-compose", "--project-directory", str(ROOT), *files, "config", "--quiet"]

    assert 0 == checked("", "docker-compose", *command)[0]


def test_the_stage_is_set(tmp_path: Path) -> None:
    """What the test of compose changes in routes is still there to be changed."""
    built(tmp_path)

    manager = yaml.safe_load((tmp_path / "alertmanager.yml").read_text())
    assert [{"name": "nobody"}, {"name": "team", "webhook_configs": [{"url": RECEIVER}]}] == manager["receivers"]


def test_what_gets_graver_is_no_second_page() -> None:
    """Warnings and critical alerts of one server share a route and so a group; only what informs goes elsewhere."""
    route = yaml.safe_load((ROOT / "alerts/alertmanager.yml").read_text())["route"]

    assert ["instance", "target"] == route["group_by"]
    assert [{"receiver": "nobody", "matchers": ['severity="info"']}] == route["routes"]


def alerted(group: str, **alerts: str) -> dict[str, Any]:
    """Make what Alertmanager posts: alerts by name, with their status."""
    listed = [{"labels": {"alertname": name}, "status": status} for name, status in alerts.items()]
    return {"path": "/alertmanager", "message": {"groupKey": group, "alerts": listed}}


def told(key: str, status: str) -> dict[str, Any]:
    """Make what the monitor posts."""
    return {"path": "/monitor", "message": {"key": key, "status": status}}


def test_mail_is_sorted() -> None:
    """What fires is what the last message says; what is open was told and not ended; groups are pages."""
    mail = sorted_out([
        alerted("a", Slow="firing", Drift="firing"),
        told("slow", "firing"),
        told("drift", "firing"),
        alerted("a", Slow="resolved", Drift="firing"),
        told("slow", "resolved"),
    ])  # fmt: skip

    assert (["Drift"], ["Drift", "Slow"], ["a"]) == (sorted(mail.firing), sorted(mail.fired), sorted(mail.groups))
    assert ("drift",) == mail.open
