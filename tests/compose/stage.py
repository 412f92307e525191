"""What the containers find on this machine: a host that is a folder, and our own rules with the waits cut short."""

from pathlib import Path

from monitor.demo.scene import build

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
RECEIVER = "http://webhook:8080/alertmanager"
SHORTER = {"keep_firing_for": ("15m", "30s"), "group_interval": ("5m", "15s")}
"""What is not as it is shipped: minutes of silence after which something counts as over."""


def built(folder: Path) -> None:
    """Put everything into a folder."""
    build(folder, "http://vllm:8000")
    rules = (ALERTS / "monitor.rules.yml").read_text(encoding="utf-8")
    (folder / "monitor.rules.yml").write_text(_shorter(rules, "keep_firing_for"), encoding="utf-8")
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
