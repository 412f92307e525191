"""The group that holds all commands, and how their errors become exit codes."""

import sys
from typing import Any

import click
import structlog

from monitor.capture import CaptureError
from monitor.cli.accept import accept
from monitor.cli.backtest import backtest_command
from monitor.cli.baseline import baseline
from monitor.cli.canary import canary
from monitor.cli.capture import capture_command
from monitor.cli.check import check
from monitor.cli.compare import compare
from monitor.cli.config import config, metrics
from monitor.cli.demo import demo
from monitor.cli.doctor import doctor
from monitor.cli.import_ import import_
from monitor.cli.look import look
from monitor.cli.notes import annotate, mute
from monitor.cli.serve import serve, simulate
from monitor.cli.tuning import tuning
from monitor.collect.fetch import LookError
from monitor.demo.story import DemoError
from monitor.settings import SettingsError
from monitor.store.schema import StoreError

FINDINGS, OUR_FAULT, INTERRUPTED = 1, 2, 130


class Told(click.ClickException):
    """An error that is the user's to mend: its lines, and an exit code."""

    def __init__(self, error: Exception, code: int) -> None:
        super().__init__(str(error))
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override] # click has one code per class, ours comes with the error
        """The process's exit code."""
        return self.code

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        """Print one line per mistake."""
        for line in self.message.splitlines():
            click.echo(f"monitor: {line}", file=file or sys.stderr)


class _Group(click.Group):
    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's signature
        """Run, and end the process with the exit code; every error of the user's is told in one line."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = OUR_FAULT
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "monitor"
            click.echo(f"monitor: {error.format_message()} See {path} --help", err=True)
            code = OUR_FAULT
        except click.ClickException as error:
            error.show()
            code = error.exit_code
        except click.Abort:
            code = INTERRUPTED
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except (SettingsError, StoreError, DemoError) as error:
            raise Told(error, OUR_FAULT) from None
        except (LookError, CaptureError) as error:
            raise Told(error, FINDINGS) from None
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(
    cls=_Group,
    help="Notice when a vLLM server gets slower than the day its baseline was captured.",
    epilog="Example: monitor serve --target http://localhost:8000",
)
@click.version_option(package_name="vllm-monitor")
def app() -> None:
    as_text = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


for member in (capture_command, compare, import_):
    baseline.add_command(member)
for command in (serve, check, look, canary, baseline, backtest_command, tuning, doctor):
    app.add_command(command)
for command in (accept, annotate, mute, demo, config, metrics, simulate):
    app.add_command(command)
