"""The manifests say what Kubernetes, the Prometheus operator and the monitor itself take."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from goldens import compare
from manifests import KUBERNETES, NAME, ROOT, Manifest, beside, monitor, only, pod, read
from prometheus_rule import prometheus_rule

from monitor import catalog
from monitor.export.board import Board, Periods
from monitor.settings import Settings
from monitor.settings_source import load
from monitor.web.app import create_app

OLDEST = "1.29"
"""The first Kubernetes with sidecars that need not be switched on."""
NEWEST = kubernetes_validate.latest_version().removesuffix(".0")

RULES = ROOT / "alerts" / "monitor.rules.yml"
KINDS = json.loads((Path(__file__).parent / "schemas" / "monitoring.coreos.com.json").read_text())

(NODE,) = read("node/daemonset.yaml")
BESIDE = beside(only("Deployment", read("example/vllm.yaml")))
SERVICES = {folder: only("Service", read(f"{folder}/service.yaml")) for folder in ("node", "sidecar")}
WORKLOADS = {"node": NODE, "sidecar": BESIDE}
KUSTOMIZATIONS = [*KUBERNETES.glob("*/kustomization.yaml"), ROOT / "dashboards" / "kustomization.yaml"]

each_place = pytest.mark.parametrize("place", WORKLOADS)


def settings(place: str) -> Settings:
    """Load what a workload's monitor is given, as it loads it."""
    env = {one["name"]: one["value"] for one in monitor(WORKLOADS[place]).get("env", ())}
    return load(KUBERNETES / place / "monitor.toml", env)


@pytest.mark.parametrize("release", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", [*WORKLOADS.values(), *SERVICES.values()], ids=lambda one: one["metadata"]["name"])
def test_built_in_kinds(manifest: Manifest, release: str) -> None:
    """Kubernetes takes each object, and knows each field of it, from the oldest release that we name."""
    assert release == kubernetes_validate.validate(manifest, release, strict=True)


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PrometheusRule"])
def test_custom_kinds(kind: str) -> None:
    """The Prometheus operator knows each field of its two kinds."""
    (manifest,) = read(f"prometheus-operator/{kind.lower()}.yaml")

    assert kind == manifest["kind"]
    jsonschema.validate(manifest, KINDS | {"$ref": f"#/$defs/{kind}"})


def test_rules_are_those_of_the_alerts() -> None:
    """The operator is given the rules that Prometheus is given elsewhere, made from them and not written twice."""
    compare(KUBERNETES / "prometheus-operator" / "prometheusrule.yaml", prometheus_rule(RULES.read_text()))
    (manifest,) = read("prometheus-operator/prometheusrule.yaml")

    assert yaml.safe_load(RULES.read_text()) == manifest["spec"]


@each_place
def test_pods_are_found(place: str) -> None:
    """The operator's kind selects each Service by label and port, and each Service the pods that listen there."""
    service, template = SERVICES[place], WORKLOADS[place]["spec"]["template"]
    (watched,) = read("prometheus-operator/servicemonitor.yaml")
    (endpoint,) = watched["spec"]["endpoints"]
    (port,) = service["spec"]["ports"]

    assert watched["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert (endpoint["port"], 9877) == (port["name"], port["targetPort"])
    assert [9877] == [one["containerPort"] for one in monitor(WORKLOADS[place])["ports"]]
    assert NAME in service["metadata"]["name"]  # the job, as which the alerts know it


@each_place
def test_workloads_select_their_own_pods(place: str) -> None:
    """A workload's selector fits its pods, also beside the label that the sidecar adds."""
    spec = WORKLOADS[place]["spec"]

    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@each_place
def test_services_leave_no_variables(place: str) -> None:
    """No Service is one of which Kubernetes makes variables VLLM_..., and pods that are not ready are scraped."""
    spec = SERVICES[place]["spec"]

    assert ("None", True) == (spec["clusterIP"], spec["publishNotReadyAddresses"])


def test_labels_of_discovery_are_not_ours() -> None:
    """What Kubernetes adds to each series is no label of a metric, which it would rename."""
    (watched,) = read("prometheus-operator/servicemonitor.yaml")
    added = {one["targetLabel"] for one in watched["spec"]["endpoints"][0]["relabelings"]}
    added |= {"job", "instance", "namespace", "service", "endpoint", "pod", "container"}

    assert {"node_name"} <= added
    assert set() == added & {label for metric in catalog.METRICS.values() for label in metric.labels}


def test_settings_of_the_node() -> None:
    """The DaemonSet watches its node and no server, through the folders that are mounted, and opens no NPU."""
    chosen = settings("node")
    mounted = {one["mountPath"] for one in monitor(NODE)["volumeMounts"]}

    assert {} == chosen.target
    assert {str(chosen.host.procfs), str(chosen.host.sysfs)} <= mounted
    assert "npu-exporter" == chosen.ascend.source


def test_settings_beside_vllm() -> None:
    """The sidecar watches the server of its pod, which it reaches and whose processes it does not see."""
    chosen = settings("sidecar")

    assert [("vllm", "http://localhost:8000", "node")] == [
        (name, target.url, target.local) for name, target in chosen.target.items()
    ]
    assert "off" == chosen.ascend.source


@each_place
def test_settings_are_where_they_are_looked_for(place: str) -> None:
    """`monitor.toml` is in the working folder, as for `kubectl exec`; the folder of the store can be written."""
    container = monitor(WORKLOADS[place])
    mounts = {one["mountPath"]: one for one in container["volumeMounts"]}
    (generated,) = yaml.safe_load((KUBERNETES / place / "kustomization.yaml").read_text())["configMapGenerator"]
    volumes = {one["name"]: one for one in pod(WORKLOADS[place])["volumes"]}

    assert ["monitor.toml"] == generated["files"]
    assert generated["name"] == volumes[mounts[container["workingDir"]]["name"]]["configMap"]["name"]
    assert {} == volumes[mounts["/data"]["name"]]["emptyDir"]
    assert set(volumes) >= {one["name"] for one in container["volumeMounts"]}


@each_place
def test_probes_exist(place: str) -> None:
    """What the kubelet asks is answered by the monitor."""
    routes = {getattr(one, "path", "") for one in create_app(Board(Periods(1, 1, 1), float), ()).routes}
    container = monitor(WORKLOADS[place])
    asked = {container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe") if probe in container}

    assert "/-/healthy" in asked
    assert asked <= routes


def test_the_sidecar_harms_no_server() -> None:
    """Beside vLLM no probe makes the pod unready, its quality of service stays, no process is shared."""
    container, theirs = monitor(BESIDE), only("Deployment", read("example/vllm.yaml"))

    assert "readinessProbe" not in container
    assert "startupProbe" not in container  # vLLM would wait for it
    assert "Always" == container["restartPolicy"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert "shareProcessNamespace" not in pod(BESIDE)
    assert pod(theirs)["containers"] == pod(BESIDE)["containers"]


def test_rights_of_the_sidecar() -> None:
    """The sidecar has the rights that Kubernetes calls restricted, whatever the pod has, and nothing of the host."""
    security = monitor(BESIDE)["securityContext"]
    volumes = {one["name"]: one for one in pod(BESIDE)["volumes"]}

    assert {
        "runAsUser": 10001,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    } == security
    assert not any("hostPath" in volumes[one["name"]] for one in monitor(BESIDE)["volumeMounts"])


def test_rights_of_the_node() -> None:
    """The DaemonSet has those rights, too, and mounts the host's folders read-only."""
    security = pod(NODE)["securityContext"] | monitor(NODE)["securityContext"]
    host = {one["name"] for one in pod(NODE)["volumes"] if "hostPath" in one}
    writable = {one["name"] for one in monitor(NODE)["volumeMounts"] if not one.get("readOnly")}

    assert monitor(BESIDE)["securityContext"] == security
    assert ({"proc", "sys"}, {"data"}) == (host, writable)


def test_images_are_pinned() -> None:
    """Each image has a version: the monitor's is this one, wherever it is written."""
    written = {one["image"] for workload in WORKLOADS.values() for one in pod(workload)["containers"]}
    written |= {monitor(BESIDE)["image"]}
    kustomizations = [yaml.safe_load(path.read_text()) for path in KUSTOMIZATIONS]
    tags = {image["newTag"] for one in kustomizations for image in one.get("images", ())}

    assert {version(NAME)} == tags
    assert {f"{NAME}:{version(NAME)}", "vllm/vllm-openai:v0.30.0"} == written


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: path.parent.name)
def test_what_is_named_is_there(path: Path) -> None:
    """A kustomization names folders and files that exist."""
    tree = yaml.safe_load(path.read_text())
    files = [name for one in tree.get("configMapGenerator", ()) for name in one["files"]]
    patches = [one["path"] for one in tree.get("patches", ()) if "path" in one]
    named = [*tree.get("resources", ()), *tree.get("components", ()), *files, *patches]

    assert [] == [name for name in named if not (path.parent / name).exists()]


def test_the_page_names_everything() -> None:
    """docs/kubernetes.md explains every component, and names this version, and folders that are there."""
    page = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    components = [path.parent.name for path in KUSTOMIZATIONS if "kind: Component" in path.read_text()]

    assert [] == [name for name in components if f"| `{name}` |" not in page]
    assert {version(NAME)} == set(re.findall(r"/vllm-monitor:([\d.]+)", page))
    assert [] == [path for path in re.findall(r"deploy/kubernetes/[\w-]+", page) if not (ROOT / path).is_dir()]


def test_every_dashboard_is_given_to_grafana() -> None:
    """Each dashboard is in a ConfigMap of its own, small enough for `kubectl apply`."""
    folder = ROOT / "dashboards"
    maps = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"]

    assert {path.name for path in folder.glob("*.json")} == {name for one in maps for name in one["files"]}
    assert {1} == {len(one["files"]) for one in maps}
    assert [] == [path.name for path in folder.glob("*.json") if len(json.dumps(path.read_text())) > 250_000]
