"""The demo's stage, in one folder: a host tree, vendor tools that replay their output, settings with a quick pace."""

import json
from pathlib import Path

CPUS = 4
KNOBS = {"ttft": 0.05, "tpot": 0.01, "jitter": 0.03}

CONFIG = """\
[target.demo]
url = "{url}"

[heartbeat]
every = "1s"

[canary]
every = "1s"
max_tokens_per_minute = 10000

[alert]
paging = "on"
opens_after = "10s"

[alert.sink.log]
kind = "log"

[host]
procfs = "{folder}/proc"
sysfs = "{folder}/sys"

[ascend]
lock_file = "{folder}/npu-smi.lock"

[store]
url = "sqlite:///{folder}/monitor.db"
"""

HOST = {
    "proc/swaps": "Filename Type Size Used Priority",
    "proc/2/comm": "kthreadd",
    "proc/sys/vm/swappiness": "0",
    "proc/sys/vm/zone_reclaim_mode": "0",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/kernel/osrelease": "5.10.0-demo",
    "proc/sys/kernel/sched_migration_cost_ns": "50000",
    "proc/vmstat": "pswpin 0\npswpout 0",
    "proc/stat": "cpu  100 0 50 9000 0 0 0 0 0 0",
    "sys/devices/system/cpu/online": f"0-{CPUS - 1}",
    "sys/devices/system/cpu/isolated": "",
    "sys/devices/system/cpu/smt/control": "notimplemented",
    "sys/devices/system/cpu/vulnerabilities/spectre_v1": "Mitigation: __user pointer sanitization",
    "sys/devices/system/cpu/cpuidle/current_driver": "none",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "arch_sys_counter",
    "sys/bus/pci/devices/0000:c1:00.0/vendor": "0x19e5",
    "sys/bus/pci/devices/0000:c1:00.0/class": "0x120000",
    "sys/bus/pci/devices/0000:c1:00.0/numa_node": "0",
    "sys/devices/system/node/online": "0",
    "sys/devices/system/node/node0/cpulist": f"0-{CPUS - 1}",
    "sys/devices/system/node/node0/numastat": "numa_hit 1000\nnuma_miss 0\nnuma_foreign 0",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never",
}

NPU_SMI = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.0                   Version: 24.1.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 93.2        44                0    / 0             |
| 0                         | 0000:C1:00.0  | 31          0    / 0          52310/ 65536         |
+===========================+===============+====================================================+
"""

TPU_SMI = {
    "card_num": 1,
    "chip_num": 1,
    "card0": {
        "card_idx": 0,
        "chip_num_of_card": 1,
        "chip0": {"chip_index_of_card": 0, "status": "Active", "tpu_util": "9%", "mem_usage": "1024MB"},
    },
}


def build(folder: Path, url: str) -> Path:
    """Put everything into a folder; gives the settings file."""
    for name, text in HOST.items():
        _write(folder / name, text + "\n")
    set_governor(folder, "performance")
    _tool(folder / "bin" / "npu-smi", NPU_SMI)
    _tool(folder / "bin" / "tpu-smi", json.dumps(TPU_SMI, indent=4))
    config = folder / "monitor.toml"
    config.write_text(CONFIG.format(url=url, folder=folder), encoding="utf-8")
    return config


def set_governor(folder: Path, governor: str) -> None:
    """Let every CPU of the host tree have a governor: what a reboot does to a host that nobody made it stick on."""
    for cpu in range(CPUS):
        frequency = folder / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        _write(frequency / "scaling_governor", governor + "\n")
        _write(frequency / "scaling_driver", "cppc_cpufreq\n")


def _tool(path: Path, prints: str) -> None:
    _write(path.with_suffix(".txt"), prints)
    _write(path, '#!/bin/sh\ncat "$0.txt"\n')
    path.chmod(0o755)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
