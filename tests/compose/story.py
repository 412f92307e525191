"""`docker compose up`, tried for real: drift and slowdown are paged, the server is killed and comes back, all ends.

Needs Docker and nothing of this machine's ports. Prometheus and Alertmanager are Debian's, in images of our own.
"""

import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click import echo
from containers import ComposeError, Containers, project
from mail import Mail, sorted_out
from stage import ROOT, SHORTER, built

from monitor.demo.scene import set_governor

SERVICES = ("monitor", "prometheus", "alertmanager", "simulated", "webhook")
PATIENCE = 300.0
"""Seconds that a step may take: Prometheus looks every 15 s, Alertmanager waits 30 s for what belongs together."""
FIRST = "admin:admin@"
"""Grafana's first user, where no file with a password is given."""
SLOWER = {"slow": 3.0, "max_model_len": 4096}
PAGED = {"VllmTuningCritical", "VllmRegressionCritical"}
ALLOWED = {*PAGED, "VllmRegressionWarning", "VllmDead"}


class StoryError(Exception):
    """A step did not end as it must; the text says which, and what was seen instead."""


@dataclass(frozen=True, slots=True)
class Story:
    """The running project and the folder that is its host."""

    containers: Containers
    folder: Path

    def mail(self) -> Mail:
        """Give what was received until now."""
        return sorted_out(self.containers.ask("webhook", 8080))

    def findings(self) -> list[dict[str, Any]]:
        """Give what the monitor has open."""
        (target,) = self.containers.ask("monitor", 9877, "/api/v1/status")["targets"]
        found: list[dict[str, Any]] = target["findings"]
        return found


def step(words: str, act: Callable[[], object], holds: Callable[[], object] = lambda: True) -> None:
    """Do something, wait until it shows, and print how long that took; raises StoryError if it never does."""
    began = time.monotonic()
    act()
    while not holds():
        if time.monotonic() - began > PATIENCE:
            raise StoryError(f"not within {PATIENCE:.0f} s: {words}")
        time.sleep(1.0)
    echo(f"ok  {words} ({time.monotonic() - began:.0f} s)")


def wait(words: str, holds: Callable[[], object]) -> None:
    """Wait until something shows."""
    step(words, lambda: None, holds)


def told(story: Story) -> None:
    """Tell the story."""
    containers = story.containers
    step("images are built", lambda: containers.compose("build", *SERVICES[:-1]))
    step(f"up and healthy: {', '.join(SERVICES)}", lambda: containers.up(SERVICES), lambda: healthy(containers))
    step("a baseline is captured", lambda: captured(containers))
    step(
        "paging is switched on: the monitor starts anew",
        lambda: containers.up(["monitor"], PAGING="on"),
        lambda: healthy(containers) and not story.mail().monitor,
    )
    wait("TTFT and TPOT are judged", lambda: judged(containers))
    harmed(story)
    killed(story)
    healed(story)
    rules = loaded(containers)
    echo(f"ok  Prometheus evaluates all {rules} rules without an error")
    quiet(containers)
    echo("ok  no container was started again by Docker, and none logged an error")


def healthy(containers: Containers) -> bool:
    """Tell whether all are healthy."""
    return all(containers.healthy(service) for service in SERVICES)


def captured(containers: Containers) -> None:
    """Capture a baseline, as the README says."""
    containers.compose(
        *("exec", "-T", "monitor", "monitor", "baseline", "capture", "good-day"), "--requests", "60", "--rate", "5"
    )


def judged(containers: Containers) -> bool:
    """Tell whether each figure has a ratio to the baseline."""
    (target,) = containers.ask("monitor", 9877, "/api/v1/status")["targets"]
    return bool(target["judgements"]) and all(one["ratio"] is not None for one in target["judgements"])


def harmed(story: Story) -> None:
    """Let settings drift and the server get slower: both are told, as one page."""

    def harm() -> None:
        set_governor(story.folder, "powersave")
        story.containers.ask("simulated", 8000, "/simulate", SLOWER)

    step(
        "drift and slowdown: the monitor found both",
        harm,
        lambda: {"tuning", "regression"} <= {finding["kind"] for finding in story.findings()},
    )
    wait("Alertmanager told both", lambda: story.mail().fired >= PAGED)
    wait("the monitor's own sink told both", lambda: len(story.mail().open) == len(PAGED))
    for finding in story.findings():
        echo(f"      {finding['severity']}: {finding['summary']}")
    (regression,) = (one for one in story.mail().monitor if one["kind"] == "regression")
    echo(f"      {regression['incident']['sentence']}")


def killed(story: Story) -> None:
    """Kill the server: that it is dead is told, and that it is slow no longer."""
    step(
        "the server is killed: Alertmanager told that it is dead, and no more that it is slow",
        lambda: story.containers.do("kill", "simulated"),
        lambda: "VllmDead" in story.mail().firing and not story.mail().firing & {"VllmRegressionCritical"},
    )


def healed(story: Story) -> None:
    """Start the server, restore the setting: all is told to be over, and all of it was one page."""

    def heal() -> None:
        set_governor(story.folder, "performance")
        story.containers.do("start", "simulated")

    step(
        "the server is started, the setting restored: the monitor has no finding open",
        heal,
        lambda: not story.findings(),
    )
    wait("the monitor's own sink told that all is over", lambda: not story.mail().open)
    wait("Alertmanager told that all is over", lambda: story.mail().alertmanager[-1]["status"] == "resolved")
    mail = story.mail()
    if len(mail.groups) != 1 or not mail.fired <= ALLOWED:
        raise StoryError(f"not one page: groups {sorted(mail.groups)}, alerts {sorted(mail.fired)}")
    echo(f"ok  one page: {len(mail.alertmanager)} messages of Alertmanager, all of the group {min(mail.groups)}")


def loaded(containers: Containers) -> int:
    """Give how many rules Prometheus evaluates; raises StoryError if one fails."""
    groups = containers.ask("prometheus", 9090, "/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    if failing := [rule["name"] for rule in rules if rule["health"] != "ok"]:
        raise StoryError(f"Prometheus cannot evaluate {', '.join(failing) or 'any rule'}")
    return len(rules)


def quiet(containers: Containers) -> None:
    """Raise StoryError if a container was restarted, or if one of ours or of Prometheus's logged an error."""
    restarted = [service for service in SERVICES if containers.look(service)["RestartCount"]]
    logs = containers.compose("logs", "--no-color", "monitor", "prometheus", "alertmanager").splitlines()
    errors = [line for line in logs if "level=error" in line or '"level": "error"' in line or "Traceback" in line]
    if restarted or errors:
        raise StoryError(f"restarted: {', '.join(restarted) or 'none'}; errors: {errors[:3]}")


def grafana(containers: Containers) -> None:
    """Start Grafana, where its image can be had, and find our dashboards there; else say that it was not tried."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    image, ours = services["grafana"]["image"], len(list((ROOT / "dashboards").glob("*.json")))
    if not containers.obtainable(image):
        echo(f"NOT TRIED: Grafana: {image} cannot be had here; of its {ours} dashboards only the files are tested")
        return
    step("Grafana is healthy", lambda: containers.up(["grafana"]), lambda: containers.healthy("grafana"))
    path = "/api/search?type=dash-db"
    wait(f"Grafana has {ours} dashboards", lambda: len(containers.ask("grafana", 3000, path, user=FIRST)) == ours)


def tried(story: Story) -> None:
    """Tell the story; where it fails, print what the containers said last."""
    try:
        told(story)
        grafana(story.containers)
    except StoryError:
        echo(story.containers.compose("logs", "--no-color", "--tail", "5"))
        raise


def main() -> int:
    """Tell the story; gives the exit code: 0 fine, 1 a step failed."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a kill cleans up as Ctrl-C does
    cut = ", ".join(f"{key} {shipped} is {here}" for key, (shipped, here) in SHORTER.items())
    echo(f"NOT AS SHIPPED: {cut}; a beat and a canary every second, opens_after 10s; the host is a folder")
    echo("STAND-INS: Prometheus and Alertmanager are Debian's, vLLM is simulated")
    try:
        with tempfile.TemporaryDirectory(prefix="vllm-monitor-compose-") as stage:
            built(Path(stage))
            with project(stage) as containers:
                tried(Story(containers, Path(stage)))
    except (StoryError, ComposeError) as error:
        echo(f"FAILED  {error}", err=True)
        return 1
    except KeyboardInterrupt:
        echo("interrupted; everything is taken down", err=True)
        return 130
    echo("ok  everything is taken down")
    return 0


if __name__ == "__main__":
    sys.exit(main())
