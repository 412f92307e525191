"""What follows for Ascend: settings that changed their names, or take effect together only, or exclude each other."""

import json
import re
from typing import Any

from monitor import catalog
from monitor.tuning.lookup import ASCEND, UNSET, Lookup, UntoldError

_ENV, _OPTION = catalog.PROCESS_ENV, catalog.PROCESS_ENV_OPTION
_CONF = "PYTORCH_NPU_ALLOC_CONF"
_PREFETCH, _DENSE = "VLLM_ASCEND_ENABLE_PREFETCH_MLP", "VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE"
_FLASHCOMM = {
    "VLLM_ASCEND_ENABLE_FLASHCOMM": ">=0.9.1rc2, <0.20.2rc1, !=0.9.2rc1, !=0.10.0rc1, !=0.10.1rc1",
    "VLLM_ASCEND_ENABLE_FLASHCOMM1": ">=0.11.0rc1, <0.26.0rc1",
}
_CONFIGURED = ">=0.20.2rc1, <0.26.0rc1"
_DEVICE = re.compile(r"(\d{1,4})x (\S+)")
_MEMORY = {"910B1": 64, "910B2": 64, "910B2C": 64, "910B3": 64, "910B4": 32, "910B4-1": 64}
"""GB of the Atlas A2 series, by the names that npu-smi lists."""


def alloc_conf(known: Lookup) -> str:
    """Name the options in force: of a variable that is exported twice only the second value is.

    Since 0.14 vllm-ascend adds expandable_segments where neither another option nor sleep mode excludes that.
    """
    size = known.value(_OPTION[_CONF, "max_split_size_mb"])
    expandable = known.value(_OPTION[_CONF, "expandable_segments"])
    if {size, expandable} == {UNSET} and _adds_expandable(known):
        expandable = "True"
    options = [f"max_split_size_mb:{size}"] if size != UNSET else []
    options += ["expandable_segments:True"] if expandable.lower() == "true" else []
    return " and ".join(options) or "neither"


def _adds_expandable(known: Lookup) -> bool:
    if not known.version(ASCEND, ">=0.14.0rc1") or "garbage_collection" in known.value(_ENV[_CONF]):
        return False
    return "enable-sleep-mode" not in known.value(catalog.PROCESS_ARGUMENTS_OTHERS).split()


def mlp_prefetch(known: Lookup) -> str:
    """Say whether both variables are on: one without the other does nothing, until 0.13 dropped the second one."""
    wanted = {_PREFETCH} if known.version(ASCEND, ">=0.13.0rc1") else {_PREFETCH, _DENSE}
    found = {name for name in wanted if known.on(name)}
    missing = wanted - found
    if found and missing:
        return f"{found.pop()} without {missing.pop()}"
    return "on" if found else "off"


def flashcomm1(known: Lookup) -> str:
    """Say whether FlashComm v1 is on; what --additional-config says of it comes first, in versions that read it."""
    if known.version(ASCEND, _CONFIGURED):
        chosen = _additional(known).get("enable_flashcomm1")
        if chosen is not None:
            return "on" if chosen else "off"
    read = (name for name, versions in _FLASHCOMM.items() if known.version(ASCEND, versions))
    return "on" if any(known.on(name) for name in read) else "off"


def _additional(known: Lookup) -> dict[str, Any]:
    """Give --additional-config."""
    text = known.value(catalog.PROCESS_ARG["additional-config"])
    try:
        document = json.loads(text) if text != UNSET else {}
    except (ValueError, RecursionError):
        raise UntoldError("--additional-config is too long to be told, or is no JSON") from None
    return document if isinstance(document, dict) else {}


def memory(known: Lookup) -> str:
    """Give the memory of one NPU; raises UntoldError for products that are not told apart by it."""
    products = {product for _, product in _DEVICE.findall(known.value(catalog.ASCEND_DEVICES))}
    sizes = {_MEMORY.get(product) for product in products}
    size = sizes.pop() if len(sizes) == 1 else None
    if size is None:
        raise UntoldError("how much memory these NPUs have is not known by their names")
    return f"{size} GB"
