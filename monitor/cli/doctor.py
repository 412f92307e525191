"""`monitor doctor`: what works here, and what to add."""

import asyncio
from dataclasses import asdict
from pathlib import Path

import click

from monitor.cli.options import address_option, config_option, json_option, print_json, settings, targets_option
from monitor.doctor import Check, examine
from monitor.settings import Settings

WORDS = {True: "works ", False: "broken", None: "absent"}


@click.command(
    help="Try what the monitor needs - store, address, servers, canaries, host, tools - and say what to add.",
    epilog="Example: monitor doctor --target http://localhost:8000",
)
@address_option
@config_option
@targets_option
@json_option
def doctor(address: str, file: Path | None, urls: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001 - click passes flags as values
    checks = asyncio.run(_examine(settings(file, urls), address, show=not as_json))
    if as_json:
        print_json({"checks": [asdict(check) for check in checks]})
    if any(check.works is False for check in checks):
        raise SystemExit(1)


async def _examine(chosen: Settings, address: str, *, show: bool) -> list[Check]:
    checks = []
    async for check in examine(chosen, address):
        checks.append(check)
        if show:
            click.echo(f"{WORDS[check.works]}  {check.name}: {check.says}")
            if check.add and check.works is not True:
                click.echo(f"        add: {check.add}")
    return checks
