"""What npu-smi says when it fails, as one line that says what to mount, which group to join, or what to wait for."""

import re

from monitor.collect.command import Output, ended
from monitor.collect.fetch import LookError

TOOL = "npu-smi"
NODES = "/dev/davinci*, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc"
DRIVER = "/usr/local/Ascend/driver/lib64"
_GROUP = "run as root or join the group HwHiAiUser"
_UNREACHED = f"the driver cannot be reached: {_GROUP}, mount {NODES}, and reboot after a firmware upgrade"
_FILES = f"mount {DRIVER} and /usr/local/dcmi, and set LD_LIBRARY_PATH={DRIVER}/driver:{DRIVER}/common"
CODES = {
    8002: f"not permitted: {_GROUP}",
    8003: "the driver has no memory left",
    8005: _UNREACHED,
    8006: "the driver timed out",
    8007: f"invalid device: mount {NODES}",
    8008: f"no device: mount {NODES}",
    8009: "the driver refuses the call: the versions of tool, driver and firmware do not fit each other",
    8012: "the device is not ready",
    8013: "not supported in a container: run privileged or on the host",
    8014: f"a file cannot be opened: mount {NODES}, /usr/local/dcmi and /etc/ascend_install.info",
    8015: "the device is being reset",
    8017: "the firmware is being upgraded",
    8020: 'another container holds the device: set [ascend] source = "npu-exporter", run on the host, '
    "or allow sharing with `npu-smi set -t device-share -i <npu> -c <chip> -d 1`",
    8255: "this device does not support it",
    9005: _UNREACHED,
}
STATUS = {-code & 0xFF: code for code in CODES}
"""The exit codes: what exit() leaves of the codes above, no two of which leave the same."""

_CODE = re.compile(r"\bret\s+is\s+-([0-9]{4})\b")
_LIBRARY = re.compile(r"error while loading shared libraries: ([^\s:]+)")
_TEXTS = {
    "There is no NPU card": f"finds no NPU card on this server; in a container, mount {NODES}",
    "Invalid card id": "does not know the card: it may have dropped off the bus (see lspci and dmesg)",
    "Error parameter of": "does not know an option: this version of it is too old, or too new",
    "Permission denied": f"may not open a file: {_GROUP}",
    "GLIBC": "does not fit this container's C library: use an image at least as new as the host",
}


def refusal(printed: Output) -> LookError:
    """Make the error of a run that failed: by its words, else by its exit code."""
    known = obstacle(printed.text)
    if not known and (code := STATUS.get(printed.code)):
        known = f"{TOOL} {ended(printed)}, as for -{code}: {CODES[code]}"
    return LookError(known or f"{TOOL} {ended(printed)}{said(printed.text)}")


def obstacle(text: str) -> str:
    """Give what stands in the way and what would help; "" where the text is none of the tool's known messages."""
    library = _LIBRARY.search(text)
    if library:
        return f"{TOOL} does not find {library[1][:100]}: {_FILES}"
    for code in map(int, _CODE.findall(text)):
        return f"{TOOL} fails with -{code}: {CODES.get(code, 'see the error codes of DCMI')}"
    return next((f"{TOOL} {advice}" for message, advice in _TEXTS.items() if message in text), "")


def said(text: str) -> str:
    """Give the last line outside a table, as the end of a sentence."""
    lines = [line.strip() for line in text.splitlines() if line.strip()[:1] not in {"", "|", "+"}]
    return f": {re.sub(r'[^ -~]', '?', lines[-1])[:200]}" if lines else ""
