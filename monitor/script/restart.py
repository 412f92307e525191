"""What only a restart of the server changes: its variables and arguments, as they are written."""

import shlex

from monitor import catalog, guides
from monitor.model import Condition
from monitor.tuning.in_force import SETTINGS

_VARIABLES = {fact: name for name, fact in catalog.PROCESS_ENV.items()}
_GIVEN = {fact: name for name, fact in catalog.PROCESS_ARG.items()}
_IN_FORCE = {fact: _GIVEN[setting.given[0]] for fact, setting in SETTINGS.items() if setting.given[0] in _GIVEN}
_ARGUMENTS = _GIVEN | _IN_FORCE
_ONE = {"is", "one of", "at least", "at most", "in range"}
"""Operators whose first word is a value that will do."""


def needs_restart(fact: str) -> bool:
    """Tell whether a fact is the server's: a running one takes no other value."""
    return fact.startswith(("process.", "vllm.")) or fact in catalog.DERIVED


def line(ask: Condition) -> str:
    """Write the line or the argument that gives a server what is wanted; empty where that is not so simple."""
    wanted = ask.want[0] if ask.op in _ONE else ""
    if not wanted and ask.op != "absent":
        return ""
    if variable := _VARIABLES.get(ask.fact):
        return f"export {variable}={shlex.quote(wanted)}" if wanted else f"unset {variable}"
    argument = _ARGUMENTS.get(ask.fact)
    return _argument(argument, wanted) if argument else ""


def _argument(name: str, wanted: str) -> str:
    if not wanted:
        return f"without --{name}"
    if name in guides.FLAGS:
        return f"--{name}" if wanted == "true" else f"--no-{name}"
    return f"--{name} {shlex.quote(wanted)}"
