"""The command line as a test uses it: with a store and a working folder of its own, and a node made of files."""

import json
import os
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from monitor.cli.app import app
from monitor.model import Baseline
from monitor.store.store import Store

TREES = Path(__file__).parent / "captures" / "host"
TUNED = TREES / "ascend-tuned"
"""A node in whose settings nothing is to be found."""


def node(tree: Path) -> dict[str, str]:
    """Choose where the node's settings are read."""
    return {"MONITOR_HOST__PROCFS": f"{tree}/proc", "MONITOR_HOST__SYSFS": f"{tree}/sys"}


@dataclass(frozen=True)
class Cli:
    """The command line, with a store and a working folder of its own."""

    folder: Path
    url: str

    @property
    def store_url(self) -> str:
        """Where the commands keep things."""
        return f"sqlite:///{self.folder}/monitor.db"

    def run(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> Result:
        """Run one command, which must end with this exit code, and without any exception of ours."""
        clean = dict.fromkeys(name for name in os.environ if name.startswith("MONITOR_"))
        where = {"MONITOR_STORE__URL": self.store_url, "MONITOR_TARGET__TINY__URL": self.url}
        given = {**clean, **where, **node(TUNED), **(env or {})}
        runner = CliRunner(env=given)
        with chdir(self.folder):
            result = runner.invoke(app, arguments, prog_name="monitor", catch_exceptions=False)
        assert code == result.exit_code, result.output
        return result

    def json(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> Any:
        """Run one command that prints JSON and nothing else, and give that."""
        result = self.run(*arguments, "--json", code=code, env=env)
        assert "" == result.stderr
        return json.loads(result.stdout)

    def refused(self, *arguments: str, code: int = 2, env: Mapping[str, str] | None = None) -> str:
        """Run a command that refuses in one line on stderr, and give that line."""
        result = self.run(*arguments, code=code, env=env)
        assert "" == result.stdout
        assert 1 == len(result.stderr.splitlines())
        assert result.stderr.startswith("monitor: ")
        return result.stderr.removeprefix("monitor: ").rstrip("\n")

    def names(self) -> list[str]:
        """Name the baselines that are stored."""
        return [one["name"] for one in self.json("baseline", "list")["baselines"]]

    def keep(self, made: Baseline) -> None:
        """Put a baseline into the store."""
        store = Store(self.store_url)
        store.baselines.save(made)
        store.close()

    def slower(self, made: Baseline, factor: float, name: str) -> None:
        """Put a baseline of a server into the store that was slower by a factor."""
        series = tuple(replace(one, values=tuple(value * factor for value in one.values)) for one in made.series)
        self.keep(replace(made, name=name, series=series))
