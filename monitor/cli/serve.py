"""`serve` and `simulate`: the commands that stay."""

import asyncio
import json
import random
import socket
from pathlib import Path

import click
import uvicorn

from monitor.cli.options import address_option, config_option, open_store, settings, targets_option
from monitor.serve import serve as run_serve
from monitor.settings import SettingsError
from monitor.simulate import KnobError, Knobs, create_app
from monitor.web.listening import listen


@click.command(
    help="Watch: heartbeat, canary, /metrics, findings. Starts and stays up when vLLM is not up yet.",
    epilog="Example: monitor serve --target http://localhost:8000 --web.listen-address 0.0.0.0:9877",
)
@address_option
@config_option
@targets_option
def serve(address: str, file: Path | None, urls: tuple[str, ...]) -> None:
    chosen = settings(file, urls)
    with open_store(chosen) as store, listen(address) as listening:
        store.claim()
        asyncio.run(run_serve(chosen, store, listening))


@click.command(
    help="Serve a simulated vLLM; its knobs can be turned while it runs, by POST /simulate with a JSON object of them, "
    'like {"slow": 2.0}; GET /simulate shows them.',
    epilog="Example: monitor simulate --listen 127.0.0.1:8000 --set ttft=0.05 --set tpot_slow=1.5",
)
@click.option("--listen", "address", default="127.0.0.1:8000", show_default=True, metavar="HOST:PORT", help="Where.")
@click.option("--set", "pairs", multiple=True, metavar="KNOB=VALUE", help="Turn a knob at the start; repeatable.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the jitter.")
def simulate(address: str, pairs: tuple[str, ...], seed: int) -> None:
    try:
        knobs = Knobs().changed(dict(_pair(pair) for pair in pairs))
    except KnobError as error:
        raise SettingsError(f"--set: {error}") from None
    with listen(address, "--listen") as listening:
        app = create_app(knobs, random.Random(seed))  # noqa: S311 - jitter needs no secrecy
        config = uvicorn.Config(app, log_level="critical", lifespan="off")
        asyncio.run(_simulate(uvicorn.Server(config), listening))


async def _simulate(server: uvicorn.Server, listening: socket.socket) -> None:
    # Said from within the loop: who reads it may press Ctrl-C at once.
    click.echo("simulated vLLM at http://{}:{}".format(*listening.getsockname()[:2]))
    await server.serve(sockets=[listening])


def _pair(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text}: write it like ttft=0.05")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
