"""What is looked at of a server beside its /metrics: its process, its log, its MLNode."""

import os

from monitor import catalog, mlnode
from monitor.collect import mlnode as mlnode_look
from monitor.collect.registry import run
from monitor.collect.vllm_log import look as vllm_log
from monitor.doctor.check import LIMIT, Check, broken, known, unreadable, why
from monitor.model import Snapshot
from monitor.parts import others
from monitor.settings import Settings, Target


async def process(settings: Settings, target: Target) -> Snapshot | None:
    """Look at the server's process; None where the settings say that it is not seen from here."""
    asked = () if target.local in {"node", "no"} else ("process",)
    look = others(settings, target, asked).get("process")
    return None if look is None else await run("process", look, LIMIT)


def of_process(label: str, seen: Snapshot) -> list[Check]:
    """Say what can be read of the process; what one right would add is one line."""
    pid = known(seen, catalog.PROCESS_PID)
    if not pid:
        says, _, add = (seen.error or why(seen, catalog.PROCESS_PID)).partition(": ")
        return [Check(label, works=None, says=says, add=add)]
    readable = sum(fact.value is not None for fact in seen.facts)
    says = f"{readable} of {len(seen.facts)} facts readable of process {pid}, as uid {os.getuid()}"
    return [Check(label, works=True, says=says), *unreadable(f"{label} facts", seen.facts)]


async def log(settings: Settings, label: str, target: Target) -> list[Check]:
    """Say what the server's log tells, or what stands in the way."""
    if not target.log_file:
        says, _, add = vllm_log.UNSET.partition(": ")
        return [Check(label, works=None, says=says, add=add)]
    seen = await run("vllm_log", others(settings, target)["vllm_log"], LIMIT)
    if not seen.ok:
        return [broken(label, seen.error)]
    told = len(seen.readings)
    says = f"{told} readings" if told else "no line of statistics in the last half minute, as when the server is idle"
    return [Check(label, works=True, says=f"{target.log_file}: {says}"), *unreadable(f"{label} facts", seen.facts)]


async def node(settings: Settings, label: str, target: Target) -> Check:
    """Say whether the MLNode serves."""
    if not target.mlnode_url:
        add = f"only if a Gonka MLNode runs this server: {mlnode_look.UNSET}"
        return Check(label, works=None, says="mlnode_url is not set", add=add)
    seen = await run("mlnode", others(settings, target)["mlnode"], LIMIT)
    if not seen.ok:
        return broken(label, seen.error, "start the MLNode, or correct mlnode_url")
    state = known(seen, catalog.MLNODE_STATE)
    serves = state == mlnode.SERVING
    return Check(label, serves, f"it is in state {state}", "" if serves else mlnode.DEPLOY)
