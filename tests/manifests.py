"""The manifests below deploy/kubernetes, as they stand there and as kustomize builds them."""

import copy
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tools import checked

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
NAME = "vllm-monitor"
"""The container's name, in the DaemonSet and beside vLLM."""

Manifest = dict[str, Any]


def read(path: str) -> list[Manifest]:
    """Read the objects of one file below deploy/kubernetes."""
    return [*yaml.safe_load_all((KUBERNETES / path).read_text(encoding="utf-8"))]


def only(kind: str, objects: list[Manifest]) -> Manifest:
    """Give the one object of a kind."""
    (found,) = [one for one in objects if one["kind"] == kind]
    return found


def pod(workload: Manifest) -> Manifest:
    """Give what a workload says of its pods."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def monitor(workload: Manifest) -> Manifest:
    """Give the monitor's container of a workload."""
    containers = [*pod(workload)["containers"], *pod(workload).get("initContainers", ())]
    found: Manifest
    (found,) = [one for one in containers if one["name"] == NAME]
    return found


def beside(workload: Manifest) -> Manifest:
    """Put the monitor beside vLLM, as kustomize does it where no names are shared."""
    (patch,) = read("sidecar/patch.yaml")
    patched = copy.deepcopy(workload)
    patched["spec"]["template"]["metadata"]["labels"] |= patch["spec"]["template"]["metadata"]["labels"]
    for parts in ("initContainers", "volumes"):
        pod(patched)[parts] = [*pod(patch)[parts], *pod(workload).get(parts, ())]
    return patched


def built(folder: Path) -> list[Manifest]:
    """Let kustomize build a folder, as `kubectl apply --kustomize` does; without kubectl a test skips."""
    code, said, wrong = checked("", "kubernetes-client", "kubectl", "kustomize", str(folder))
    assert (0, "") == (code, wrong)
    return [*yaml.safe_load_all(said)]


def overlay(folder: Path, resource: Path, *components: str, patches: Sequence[Manifest] = ()) -> Path:
    """Write an overlay of a resource with components of ours into a folder; give it back."""
    tree = {
        "resources": [os.path.relpath(resource, folder)],
        "components": [os.path.relpath(KUBERNETES / name, folder) for name in components],
        "patches": [*patches],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(tree), encoding="utf-8")
    return folder
