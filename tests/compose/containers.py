"""The project of containers: brought up, asked, and taken down whatever happens."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
from stage import ROOT

PROJECT = "vllm-monitor-test"
FILES = ("docker-compose.yml", "tests/compose/docker-compose.test.yml")
LONGEST = 900.0
"""Seconds that one command may take: the first one builds images."""


class ComposeError(Exception):
    """Docker could not do what it was asked; the text says what, and Docker's last words."""


@dataclass(frozen=True, slots=True)
class Containers:
    """A project of docker compose, by whichever of its two commands is installed."""

    command: tuple[str, ...]
    environment: Mapping[str, str]

    def compose(self, *words: str, **variables: str) -> str:
        """Run a command of compose; gives what it printed, raises ComposeError if it failed."""
        files = [word for file in FILES for word in ("--file", file)]
        project = ("--project-name", PROJECT, "--project-directory", str(ROOT), "--profile", "demo")
        return ran([*self.command, *files, *project, *words], {**self.environment, **variables})

    def up(self, services: Sequence[str], **variables: str) -> None:
        """Start services, anew those whose settings changed."""
        self.compose("up", "--detach", *services, **variables)

    def healthy(self, service: str) -> bool:
        """Tell whether Docker calls a service's container healthy."""
        return bool(self.look(service)["State"]["Health"]["Status"] == "healthy")

    def look(self, service: str) -> dict[str, Any]:
        """Give what Docker knows of a service's container."""
        found: dict[str, Any] = json.loads(self._docker("inspect", self._container(service)))[0]
        return found

    def do(self, verb: str, service: str) -> None:
        """Do something to a service's container: `kill`, `start`."""
        self._docker(verb, self._container(service))

    def obtainable(self, image: str) -> bool:
        """Tell whether an image is here, or can be pulled."""
        for words in (("image", "inspect"), ("pull", "--quiet")):
            with suppress(ComposeError):
                self._docker(*words, image)
                return True
        return False

    def ask(
        self, service: str, port: int, path: str = "/", knobs: Mapping[str, Any] | None = None, user: str = ""
    ) -> Any:
        """Give the JSON that a service answers to a user, like `name:password@`; with `knobs`, to a POST."""
        (bound,) = self.look(service)["NetworkSettings"]["Ports"][f"{port}/tcp"]
        url = f"http://{user}{bound['HostIp']}:{bound['HostPort']}{path}"
        answer = httpx.post(url, json=knobs) if knobs is not None else httpx.get(url)
        return answer.raise_for_status().json()

    def _container(self, service: str) -> str:
        labels = {"project": PROJECT, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        return self._docker("ps", "--quiet", "--all", *filters).strip()

    def _docker(self, *words: str) -> str:
        return ran(["docker", *words], self.environment)


@contextmanager
def project(stage: str) -> Iterator[Containers]:
    """Give the project, of which nothing is left afterwards but its images. `stage` is the folder that it mounts."""
    ports = {f"{name}_PORT": "0" for name in ("MONITOR", "PROMETHEUS", "ALERTMANAGER", "GRAFANA")}
    containers = Containers(_command(), {**os.environ, **ports, "COMPOSE_TEST_STAGE": stage})
    try:
        yield containers
    finally:
        containers.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")


def _command() -> tuple[str, ...]:
    """Find compose, version 2 first."""
    try:
        ran(["docker", "version"], os.environ)
    except ComposeError as error:
        raise ComposeError(f"{error}; this needs Docker: install and start it") from None
    for command in (("docker", "compose"), ("docker-compose",)):
        try:
            ran([*command, "version"], os.environ)
        except ComposeError:
            continue
        return command
    raise ComposeError("neither `docker compose` nor `docker-compose` is installed")


def ran(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a command; gives what it printed, raises ComposeError if it failed or is not there."""
    try:
        done = subprocess.run(  # noqa: S603 - Docker, with our own words
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComposeError(f"{' '.join(command[:2])}: {error}") from None
    if done.returncode:
        raise ComposeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout
