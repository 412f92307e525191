"""What the containers find on this machine: a host that is a folder, and our own routes with a wait cut short."""

from pathlib import Path

from monitor.demo.scene import build

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
RECEIVER = "http://webhook:8080/alertmanager"
SHORTER = {"group_interval": ("5m", "15s")}
"""What is not as it is shipped: how long Alertmanager waits until it says that a group has changed."""


def built(folder: Path) -> None:
    """Put everything into a folder."""
    build(folder, "http://vllm:8000")
    manager = _shorter((ALERTS / "alertmanager.yml").read_text(encoding="utf-8"), "group_interval")
    team = "  - name: team"
    told = f"{team}\n    webhook_configs: [{{url: {RECEIVER}}}]"
    (folder / "alertmanager.yml").write_text(_replaced(manager, team, told), encoding="utf-8")


def _shorter(text: str, key: str) -> str:
    shipped, here = SHORTER[key]
    return _replaced(text, f"{key}: {shipped}", f"{key}: {here}")


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise ValueError(f"{old!r} is not in {ALERTS.name}/ any more: say here what stands there now")
    return text.replace(old, new)
