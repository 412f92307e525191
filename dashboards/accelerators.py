"""One node: its accelerators, of all vendors under one set of names, and the host that feeds them."""

from grafana_foundation_sdk.builders import dashboard as build

from dashboards.board import Row, board, instance
from dashboards.panels import About, Panel, Query, Words, lines, number
from dashboards.tables import Column, rows

_DEVICE = "{{vendor}} {{device}}"
_BY = "instance, vendor, device"
_HEALTH: Words = {0: ("unhealthy", "red"), 1: ("healthy", "green")}
_MET: Words = {0: ("not met", "orange"), 1: ("met", "green")}


def accelerators() -> build.Dashboard:
    """Give the dashboard of the node: its devices, its kernel, its tuning."""
    return board(
        "accelerators",
        "vLLM monitor / Accelerators and host",
        "Health, heat, power, clocks and memory of NPUs, TPUs and GPUs, and what the host's kernel does meanwhile.",
        [instance("one")],
        (
            Row("Devices", (_count(), _sick(), _held(), _hottest(), _devices())),
            Row("Load", (_used(), _memory(), _bandwidth(), _units())),
            Row("Heat and power", (_heat(), _power(), _clock(), _throttled())),
            Row("Errors", (_errors(), _age())),
            Row("Host", (_pressure(), _governors(), _swap(), _numa(), _steal(), _knobs())),
            Row("Tuning", (_rules(), _facts())),
        ),
    )


def _count() -> Panel:
    expr = "count by (vendor) (max by (instance, vendor, device, product) (vllm_monitor_accelerator_info{<node>}))"
    about = About("Devices", "Devices that the monitors see, by vendor.", "none", 6, 4, none="no device is seen")
    return number(about, Query(expr, "{{vendor}}"))


def _sick() -> Panel:
    text = "Devices that their vendor's tool does not call healthy."
    expr = f"sum(max by ({_BY}) (vllm_monitor_accelerator_healthy{{<node>}}) == bool 0)"
    return number(About("Unhealthy", text, "none", 6, 4, steps=((1, "red"),), none="no tool tells"), Query(expr))


def _held() -> Panel:
    text = "Devices that hold their clocks down now for another reason than their power limit."
    expr = f'sum(max by ({_BY}) (vllm_monitor_accelerator_throttled{{<node>,reason!="power_cap"}}))'
    return number(About("Held down now", text, "none", 6, 4, steps=((1, "orange"),), none="no tool tells"), Query(expr))


def _hottest() -> Panel:
    text = "Temperature of the hottest chip."
    alerts = ("AcceleratorHotWarning", "AcceleratorHotCritical")
    about = About("Hottest", text, "celsius", 6, 4, alerts=alerts, none="no tool tells")
    return number(about, Query("max(vllm_monitor_accelerator_temperature_celsius{<node>})"))


def _devices() -> Panel:
    text = (
        "What each device is, and whether its vendor's tool calls it healthy. The address leads to the monitor's page."
    )
    info = f"max by ({_BY}, product, driver) (vllm_monitor_accelerator_info{{<node>}})"
    healthy = (
        f"max by ({_BY}) (vllm_monitor_accelerator_healthy{{<node>}}) * on ({_BY}) group_left (product, driver) {info}"
    )
    about = About("Devices and their health", text, "short", 24, 7, alerts=("AcceleratorUnhealthy",), none="no device")
    return rows(about, Column("health", healthy, words=_HEALTH))


def _used() -> Panel:
    text = "Compute in use, as the vendor counts it."
    return _device(About("Compute in use", text, "percentunit"), "vllm_monitor_accelerator_utilization_ratio{<node>}")


def _memory() -> Panel:
    text = "Device memory in use. vLLM takes its share at the start and keeps it: full is usual, growing is not."
    used = f"max by ({_BY}) (vllm_monitor_accelerator_memory_used_bytes{{<node>}})"
    total = f"max by ({_BY}) (vllm_monitor_accelerator_memory_total_bytes{{<node>}})"
    about = About("Memory in use", text, "percentunit", alerts=("AcceleratorMemoryFull",))
    return _device(about, f"{used}\n/ ({total} > 0)")


def _bandwidth() -> Panel:
    text = "Bandwidth of the device's memory in use: what decoding is bound by."
    about = About("Memory bandwidth in use", text, "percentunit", none="this vendor's tool does not tell")
    return _device(about, "vllm_monitor_accelerator_memory_bandwidth_utilization_ratio{<node>}")


def _units() -> Panel:
    text = "One kind of the device's units in use: matrix and vector cores, control CPUs."
    about = About("Units in use", text, "percentunit", none="this vendor's tool does not tell")
    expr = "vllm_monitor_accelerator_unit_utilization_ratio{<node>}"
    return lines(about, Query(expr, f"{_DEVICE} {{{{unit}}}}"), aside=True)


def _heat() -> Panel:
    alerts = ("AcceleratorHotWarning", "AcceleratorHotCritical")
    about = About("Temperature", "Temperature of the chip.", "celsius", alerts=alerts)
    return _device(about, "vllm_monitor_accelerator_temperature_celsius{<node>}")


def _power() -> Panel:
    return lines(
        About("Power and its limit", "Power drawn now, and the limit in force.", "watt"),
        Query("vllm_monitor_accelerator_power_watts{<node>}", _DEVICE),
        Query("vllm_monitor_accelerator_power_limit_watts{<node>}", f"{_DEVICE} limit"),
        aside=True,
    )


def _clock() -> Panel:
    text = "Compute clock over its highest: below 100 % the device idles, is capped, or is held down."
    now, most = (f"max by ({_BY}) (vllm_monitor_accelerator_{name}_hertz{{<node>}})" for name in ("clock", "clock_max"))
    return _device(About("Clock of its highest", text, "percentunit"), f"{now}\n/ ({most} > 0)")


def _throttled() -> Panel:
    text = "Share of 15 minutes in which the device held its clocks down, by reason; power_cap is what work does."
    about = About("Held down", text, "percentunit", alerts=("AcceleratorThrottled",), none="no tool tells")
    return lines(
        about,
        Query("avg_over_time(vllm_monitor_accelerator_throttled{<node>}[15m])", f"{_DEVICE} {{{{reason}}}}"),
        aside=True,
    )


def _errors() -> Panel:
    text = "Memory errors of six hours, by severity; counts are asked for rarely. One uncorrected is one too many."
    about = About("Memory errors", text, "short", alerts=("AcceleratorMemoryErrors",), none="no tool tells")
    expr = "increase(vllm_monitor_accelerator_ecc_errors_total{<node>}[6h])"
    return lines(about, Query(expr, f"{_DEVICE} {{{{reason}}}}"), aside=True)


def _age() -> Panel:
    text = "How old the oldest figure of a device was when it was looked at; nothing where all came with the look."
    about = About("Age of figures", text, "s", none="all figures came with the look")
    return _device(about, "vllm_monitor_accelerator_age_seconds{<node>}")


def _device(about: About, expr: str) -> Panel:
    return lines(about, Query(expr, _DEVICE), aside=True)


def _pressure() -> Panel:
    text = "Share of time in which some or all (full) tasks waited for CPU, memory or disks (PSI)."
    expr = "rate(vllm_monitor_host_pressure_seconds_total{<node>}[$__rate_interval])"
    about = About("Pressure", text, "percentunit", 8, none="this kernel tells no pressure")
    return lines(about, Query(expr, "{{resource}} {{share}}"))


def _governors() -> Panel:
    text = "CPUs by frequency governor: all of them on performance, or the host saves power while users wait."
    about = About("CPUs by governor", text, "none", 8, none="this host has no governors")
    expr = "sum by (governor) (vllm_monitor_host_cpu_governor_cpus{<node>})"
    return lines(about, Query(expr, "{{governor}}"), stacked=True)


def _swap() -> Panel:
    text = "Pages read back from swap and written to it."
    return lines(
        About("Swapping", text, "ops", 8),
        Query("rate(vllm_monitor_host_swap_in_pages_total{<node>}[$__rate_interval])", "in"),
        Query("rate(vllm_monitor_host_swap_out_pages_total{<node>}[$__rate_interval])", "out"),
    )


def _numa() -> Panel:
    text = "Pages placed on a NUMA node though another was preferred: memory that is far from who uses it."
    expr = "rate(vllm_monitor_host_numa_miss_pages_total{<node>}[$__rate_interval])"
    return lines(About("Pages on the wrong node", text, "ops", 8), Query(expr, "node {{node}}"))


def _steal() -> Panel:
    text = "CPUs' worth of time that the hypervisor gave to others."
    expr = "rate(vllm_monitor_host_cpu_steal_seconds_total{<node>}[$__rate_interval])"
    return lines(About("Stolen CPU time", text, "short", 8), Query(expr, "{{instance}}"))


def _knobs() -> Panel:
    text = "Settings of the kernel that stall servers: swappiness, NUMA balancing, the scheduler's migration cost."
    return rows(
        About("Kernel", text, "short", 8, none="not readable"),
        Column("swappiness", "max by (instance) (vllm_monitor_host_swappiness{<node>})"),
        Column("NUMA balancing", "max by (instance) (vllm_monitor_host_numa_balancing_mode{<node>})"),
        Column("migration cost", "max by (instance) (vllm_monitor_host_sched_migration_cost_seconds{<node>})", "s"),
        first="instance",
    )


def _rules() -> Panel:
    text = "Tuning rules that are not met; `monitor tuning explain RULE` says why each is asked and what mends it."
    expr = "max by (instance, target, severity, rule) (vllm_monitor_tuning_rule_match{<node>} == 0)"
    return rows(About("Rules not met", text, "short", 10, none="all readable rules are met"), Column("", expr))


def _facts() -> Panel:
    text = "Settings as found, on the node and of its servers."
    expr = "max by (instance, target, fact, value) (vllm_monitor_fact_info{<node>})"
    return rows(About("Settings", text, "short", 14, none="none is readable"), Column("", expr))
