"""The command line: `monitor`, alias `vllm-monitor`."""

import os
import sys
import traceback
from types import TracebackType

INTERRUPTED = 130


def main() -> None:
    """Run the command line. Exit codes: 0 fine, 1 findings, 2 our own fault."""
    sys.excepthook = _crash
    try:
        from monitor.cli.app import app  # noqa: PLC0415 - a second of imports, during which Ctrl-C must be quiet, too
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    app(prog_name="monitor")


def _crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    # Python leaves with 1 after an unforeseen exception, and 1 means findings here.
    traceback.print_exception(kind, error, trace)
    sys.stderr.write("monitor: this is a bug; please report it with the lines above\n")
    sys.stderr.flush()
    os._exit(2)
