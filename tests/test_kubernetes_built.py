"""What kustomize builds of the manifests, and what Prometheus takes: these tests skip without kubectl or promtool."""

import os
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from manifests import KUBERNETES, NAME, ROOT, Manifest, beside, built, monitor, only, overlay, pod, read
from tools import checked

from monitor.settings import Settings
from monitor.settings_source import load

RELEASE = "1.29"
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
BESIDE_VLLM = ("sidecar", "sidecar-api-key", "sidecar-process-facts")
ON_NODES = ("node-nvidia", "node-sophgo")


def settings(objects: list[Manifest], workload: str) -> Settings:
    """Load what the monitor of a built workload is given; the file is the one that it mounts."""
    container = monitor(only(workload, objects))
    text = next(one["data"]["monitor.toml"] for one in objects if "monitor.toml" in one.get("data", ()))
    read_from = next(KUBERNETES / name / "monitor.toml" for name in ("node", "sidecar") if text == file(name))
    return load(read_from, {one["name"]: one["value"] for one in container.get("env", ()) if one["name"][0] == "M"})


def file(place: str) -> str:
    """Give the settings of a place, as they are written."""
    return (KUBERNETES / place / "monitor.toml").read_text(encoding="utf-8")


def valid(objects: list[Manifest]) -> None:
    """Assert that Kubernetes takes all of its own kinds, and that every volume that is mounted is there."""
    for one in objects:
        if one["kind"] not in CUSTOM:
            assert RELEASE == kubernetes_validate.validate(one, RELEASE, strict=True)
        if one["kind"] in {"DaemonSet", "Deployment", "StatefulSet"}:
            mounted = {mount["name"] for mount in monitor(one)["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod(one)["volumes"]}


def test_base() -> None:
    """The base has the DaemonSet, what Prometheus is to know, and each dashboard, and no name is there twice."""
    objects = built(KUBERNETES / "base")
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    boards = [one for one in objects if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]

    valid(objects)
    assert {"ConfigMap", "DaemonSet", "PrometheusRule", "Service", "ServiceMonitor"} == {kind for kind, _ in names}
    assert {path.name: path.read_text() for path in (ROOT / "dashboards").glob("*.json")} == {
        name: text for one in boards for name, text in one["data"].items()
    }
    assert len(names) == len(set(names))


def test_the_nodes_settings_start_it_anew() -> None:
    """The DaemonSet mounts the ConfigMap by a name that changes with it."""
    objects = built(KUBERNETES / "node")
    name = only("ConfigMap", objects)["metadata"]["name"]
    volumes = {one["name"]: one for one in pod(only("DaemonSet", objects))["volumes"]}

    assert name.startswith("vllm-monitor-node-")
    assert name == volumes["config"]["configMap"]["name"]


def test_example() -> None:
    """The example is what these tests take the sidecar's patch to make of a Deployment; vLLM's part is untouched."""
    objects = built(KUBERNETES / "example")

    valid(objects)
    assert beside(only("Deployment", read("example/vllm.yaml"))) == only("Deployment", objects)
    assert "vllm-monitor" == only("ConfigMap", objects)["metadata"]["name"]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_every_component_beside_vllm(kind: str, tmp_path: Path) -> None:
    """The monitor beside vLLM can have the API key, by its file, and see the processes, with no more than it needs."""
    workload = only("Deployment", read("example/vllm.yaml"))
    workload["kind"] = kind
    if kind == "StatefulSet":
        del workload["spec"]["strategy"]
        workload["spec"]["serviceName"] = "qwen"
    (tmp_path / "vllm.yaml").write_text(yaml.safe_dump(workload), encoding="utf-8")
    objects = built(overlay(tmp_path, tmp_path / "vllm.yaml", *BESIDE_VLLM))
    container, target = monitor(only(kind, objects)), settings(objects, kind).target["vllm"]
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    volumes = {one["name"]: one for one in pod(only(kind, objects))["volumes"]}

    valid(objects)
    assert "yes" == target.local
    assert "/proc" == volumes[mounts[str(settings(objects, kind).host.procfs)]]["hostPath"]["path"]
    assert {"secretName": "vllm-api-key"} == volumes[mounts[str(Path(target.api_key_file).parent)]]["secret"]
    assert {"drop": ["ALL"], "add": ["SYS_PTRACE"]} == container["securityContext"]["capabilities"]
    assert (0, False) == (container["securityContext"]["runAsUser"], container["securityContext"]["runAsNonRoot"])
    assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_nothing_is_put_beside_others(tmp_path: Path) -> None:
    """A Deployment without the label stays as it is."""
    workload = only("Deployment", read("example/vllm.yaml"))
    del workload["metadata"]["labels"]
    (tmp_path / "vllm.yaml").write_text(yaml.safe_dump(workload), encoding="utf-8")
    objects = built(overlay(tmp_path, tmp_path / "vllm.yaml", *BESIDE_VLLM))

    assert workload == only("Deployment", objects)


def test_every_component_of_the_nodes(tmp_path: Path) -> None:
    """The DaemonSet can see GPUs and Sophgo's chips, and watches no server then either."""
    objects = built(overlay(tmp_path, KUBERNETES / "node", *ON_NODES))
    workload = only("DaemonSet", objects)
    chosen = load(KUBERNETES / "node" / "monitor.toml", {"MONITOR_HOST__ROOTFS": "/host"})
    mounts = {one["mountPath"] for one in monitor(workload)["volumeMounts"]}

    valid(objects)
    assert "nvidia" == pod(workload)["runtimeClassName"]
    assert {} == chosen.target
    assert {f"{chosen.host.rootfs}/lib/firmware/tpuv7", "/opt/tpuv7"} <= mounts
    assert {"privileged": True, "runAsUser": 0, "readOnlyRootFilesystem": True} == monitor(workload)["securityContext"]


def snippet(word: str) -> str:
    """Give the one piece of YAML in docs/kubernetes.md that has a word."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    pieces = [text.partition("```")[0] for text in page.split("```yaml\n")[1:]]
    (found,) = [piece for piece in pieces if word in piece]
    return found


def test_snippets_of_the_page(tmp_path: Path) -> None:
    """What docs/kubernetes.md shows as a patch can be built, and does what is said."""
    patches = yaml.safe_load(snippet("persistentVolumeClaim"))
    objects = built(overlay(tmp_path, KUBERNETES / "example", patches=patches))
    volumes = {one["name"]: one for one in pod(only("Deployment", objects))["volumes"]}

    valid(objects)
    assert {"name": f"{NAME}-data", "persistentVolumeClaim": {"claimName": NAME}} == volumes[f"{NAME}-data"]


@pytest.mark.parametrize("resource", ["../base", "../node"])
def test_overlay_of_the_page(resource: str, tmp_path: Path) -> None:
    """The overlay of docs/kubernetes.md gives the DaemonSet NVIDIA's GPUs, with the operator and without."""
    ours = os.path.relpath(KUBERNETES, tmp_path)
    text = snippet("../node-nvidia").replace("../base", resource).replace("../", f"{ours}/")
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")
    objects = built(tmp_path)

    valid(objects)
    assert "nvidia" == pod(only("DaemonSet", objects))["runtimeClassName"]


def test_prometheus_takes_the_scrape_configuration_of_the_page() -> None:
    """Prometheus accepts what docs/kubernetes.md gives it, which keeps the ports of the Services, under a known job."""
    (job,) = yaml.safe_load(snippet("scrape_configs"))["scrape_configs"]
    services = [only("Service", read(f"{place}/service.yaml")) for place in ("node", "sidecar")]
    ports = {(one["metadata"]["labels"]["app.kubernetes.io/name"], one["spec"]["ports"][0]["name"]) for one in services}
    discovery = job.pop("kubernetes_sd_configs")  # Debian's promtool was built without it
    text = yaml.safe_dump({"scrape_configs": [job]})
    code, _, wrong = checked(text, "prometheus", "promtool", "check", "config", "/dev/stdin")

    assert (0, "") == (code, wrong)
    assert [{"role": "endpointslice"}] == discovery
    assert NAME in job["job_name"]
    assert {tuple(job["relabel_configs"][0]["regex"].split(";"))} == ports
