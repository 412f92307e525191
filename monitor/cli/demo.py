"""`monitor demo`: the whole story on one machine."""

import click

from monitor.cli.options import address_option
from monitor.demo.story import play


@click.command(
    help="Play the whole story here, without hardware: a baseline, a drift with a slowdown, the finding, the recovery.",
    epilog="Example: monitor demo --web.listen-address 127.0.0.1:9878",
)
@address_option
def demo(address: str) -> None:
    click.echo("The demo takes about two minutes; Ctrl-C ends it and cleans up.")
    try:
        play(click.echo, address)
    except KeyboardInterrupt:  # the way to end it, and so no failure: make would call it one
        click.echo("The demo has ended, and nothing of it is left.")
