"""What to do about a vLLM server that does not answer, or answers looks and no request."""

from urllib.parse import urlsplit

from monitor import catalog
from monitor.collect.fetch import MAY_SPEAK, MAY_WANT, NAMELESS
from monitor.doctor.check import Check, broken, known, why
from monitor.model import Probe, Snapshot
from monitor.settings import LOOPBACK, Target

START = "start vLLM, or correct the target's url"
OWN_LOOPBACK = (
    "inside a container localhost is the container itself, in Kubernetes the pod: use the server's service name, "
    "or http://host.docker.internal:PORT"
)
LOOPBACK_ONLY = (
    "start it with --host 0.0.0.0, since with --host localhost only its own machine or container reaches it, "
    "and publish its container's port"
)
SILENT = "does not listen yet"
SOCKET = "start vLLM with --uds, correct uds, and in a container mount the socket's folder"
WITH_KEY = "set api_key_file to a file with the server's --api-key, or correct it"
GATEWAY = "give our container extra_hosts: host.docker.internal:host-gateway"
_SIGNS = {
    MAY_SPEAK: "if it speaks https, write https:// in the url; else see its log",
    MAY_WANT: "if it speaks http, write http:// in the url; else set client_cert_file",
    "does it speak http rather": "write http:// in the url",
    "takes too long": "see whether vLLM hangs, and that no firewall drops what comes from here",
    "no answer within": "see whether vLLM hangs, and that no firewall drops what comes from here",
    NAMELESS: "correct the url; in a container the server's name is its service's, on a network that both are in",
}


def unanswered(label: str, target: Target, snapshot: Snapshot, process: Snapshot | None, *, contained: bool) -> Check:
    """Tell of a server that does not answer, with what is known of its process and of where we are."""
    error = snapshot.error
    if target.uds:
        return Check(label, works=False, says=error, add=SOCKET)
    if snapshot.refused:
        return Check(label, works=False, says=error, add=_refused(target, process, contained=contained))
    host = urlsplit(target.url).hostname
    if NAMELESS in error and host == "host.docker.internal":
        return Check(label, works=False, says=error, add=GATEWAY)
    return broken(label, error, next((add for sign, add in _SIGNS.items() if sign in error), START))


def _refused(target: Target, process: Snapshot | None, *, contained: bool) -> str:
    """Say why nothing listens for us: often it does, but only for itself."""
    near = urlsplit(target.url).hostname in LOOPBACK
    if near and contained:
        return OWN_LOOPBACK
    pid = known(process, catalog.PROCESS_PID) if process else ""
    if pid and not near:
        return f"vLLM runs, as process {pid}, and does not listen for us: {LOOPBACK_ONLY}"
    if process and SILENT in (reason := why(process, catalog.PROCESS_PID)):
        return f"wait: {reason}"
    return START if near else f"{START}; if it runs, {LOOPBACK_ONLY}"


def after_canary(probe: Probe, target: Target, served: str) -> str:
    """Say what to do about a canary that failed; `served` is the first model that the server names."""
    said = probe.detail
    if said.startswith(("HTTP 401", "HTTP 403")):
        return WITH_KEY
    if said.startswith("HTTP 404") and target.model and served:
        return f"correct model: the server names {served} in /v1/models"
    if probe.outcome == "timeout":
        return "see whether the server hangs or is overloaded; if it is only slow, raise [canary] timeout"
    return "see the server's log"
