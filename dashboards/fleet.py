"""All servers beside each other: who is slower than its baseline or its siblings; and the monitors themselves."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from dashboards import shown
from dashboards.alerts import steps, thresholds
from dashboards.board import Row, board, instance, model, target
from dashboards.panels import About, Panel, Query, Words, lines, number
from dashboards.tables import Column, rows

_PAGING: Words = {0: ("shadow", "blue"), 1: ("on", "green")}


def fleet() -> build.Dashboard:
    """Give the dashboard on which servers are compared."""
    return board(
        "fleet",
        "vLLM monitor / Fleet",
        "All servers beside each other, and the monitors that watch them. A server's name leads to its regressions.",
        [instance(), model(), target()],
        (
            Row("Servers", (_alive(), _grave(), _late(), _lost(), _table(), shown.states(6))),
            Row("Slower than their baseline", (_worst("ttft"), _worst("tpot"))),
            Row("Beside each other", (_siblings(), _busy(), _full())),
            Row("Nodes", (_nodes(),)),
            Row("Monitors", (_monitors(), _collectors(), _waiting())),
        ),
    )


def _alive() -> Panel:
    text = "Servers that are alive, of those that are watched."
    about = About("Servers alive", text, "none", 6, 4, none="no monitor")
    states = "max by (instance, target) (vllm_monitor_vllm_state{<target>"
    return number(
        about,
        Query(f'sum({states},state="alive"}}))', "alive"),
        Query(f'count({states},state="alive"}}))', "watched"),
    )


def _grave() -> Panel:
    text = "Servers with an open finding, by the severity of the gravest."
    hearts = "0 * count(vllm_monitor_heartbeat_timestamp_seconds{<target>})"
    about = About("Servers in trouble", text, "none", 6, 4, steps=((1, "orange"),), none="no monitor")
    queries = (
        Query(f"count(({shown.VERDICT}) == {code}) or {hearts}", shown.VERDICT_WORDS[code][0]) for code in (3, 2)
    )
    critical = [DynamicConfigValue("thresholds", thresholds([(1, "red")]).build())]
    return number(about, *queries).override_by_name("critical", critical)


def _late() -> Panel:
    text = "The oldest last look at any server."
    about = About("Oldest heartbeat", text, "s", 6, 4, alerts=("MonitorHeartbeatStale",), none="no monitor")
    return number(about, Query("time() - min(vllm_monitor_heartbeat_timestamp_seconds{<target>})"))


def _lost() -> Panel:
    text = "Monitors that Prometheus cannot scrape: nobody watches their servers."
    about = About("Monitors down", text, "none", 6, 4, steps=((1, "red"),), none="no monitor is scraped")
    return number(about, Query('sum(up{<node>,job=~".*vllm-monitor.*"} == bool 0)'))


def _table() -> Panel:
    text = "One line for each server; the monitor's address leads to its page."
    by = "max by (instance, target)"
    total = "sum by (instance, target)"
    return rows(
        About("Servers", text, "short", 24, 9, none="no monitor"),
        Column("state", shown.STATE, words=shown.STATE_WORDS),
        Column("verdict", shown.VERDICT, words=shown.VERDICT_WORDS),
        Column("TTFT above baseline", shown.change("ttft", "<target>"), "percentunit", steps=shown.CHANGES),
        Column("TPOT above baseline", shown.change("tpot", "<target>"), "percentunit", steps=shown.CHANGES),
        Column("running", f"{total} (vllm_monitor_vllm_requests_running{{<target>}})"),
        Column("waiting", f"{total} (vllm_monitor_vllm_requests_waiting{{<target>}})"),
        Column("KV cache", f"{by} (vllm_monitor_vllm_kv_cache_usage_ratio{{<target>}})", "percentunit"),
        Column("muted", f"{by} (vllm_monitor_muted{{<target>}})", words={0: ("no", "text"), 1: ("yes", "yellow")}),
        Column("", "max by (instance, target, model, version) (vllm_monitor_vllm_info{<target>})"),
    )


def _worst(metric: str) -> Panel:
    text = f"The ten servers whose canary {metric.upper()} is furthest above their baseline."
    about = About(f"{metric.upper()} above baseline", text, "percentunit", steps=shown.CHANGES, none="not judged")
    return lines(about, Query(f"topk(10, {shown.change(metric, '<target>')})", "{{target}} {{instance}}"))


def _siblings() -> Panel:
    text = (
        "Users' TPOT of each server over the median of the servers of its model. The alert fires beside two siblings "
        "or more, under a load like theirs."
    )
    total, count = (
        f"sum by (instance, target) (rate(vllm_monitor_vllm_tpot_seconds_{part}{{<target>}}[$__rate_interval]))"
        for part in ("sum", "count")
    )
    models = "max by (instance, target, model) (vllm_monitor_vllm_info{<target>})"
    mean = f"({total} / ({count} > 0)) * on (instance, target) group_left (model) {models}"
    expr = f"{mean}\n/ on (model) group_left () quantile by (model) (0.5,\n{mean})"
    about = About(
        "TPOT beside siblings", text, "short", 8, alerts=("VllmSlowerThanSiblings",), every="15m", none="no users"
    )
    return lines(about, Query(expr, "{{target}} {{instance}}"))


def _busy() -> Panel:
    text = "Requests that wait, for each server."
    expr = "sum by (instance, target) (vllm_monitor_vllm_requests_waiting{<target>})"
    return lines(About("Requests waiting", text, "short", 8), Query(expr, "{{target}} {{instance}}"))


def _full() -> Panel:
    text = "KV cache in use, of the fullest engine of each server."
    expr = "max by (instance, target) (vllm_monitor_vllm_kv_cache_usage_ratio{<target>})"
    about = About("KV cache in use", text, "percentunit", 8, alerts=("VllmKvCachePressure",))
    return lines(about, Query(expr, "{{target}} {{instance}}"))


def _nodes() -> Panel:
    text = "The accelerators that each monitor sees; its address leads to them and to their host."
    devices = "(max by (instance, vendor, device) (vllm_monitor_accelerator_"
    lead = "/d/vllm-monitor-accelerators?${datasource:queryparam}&var-instance=${__data.fields.instance}"
    held = 'throttled{<node>,reason!="power_cap"}'
    hot = steps(("AcceleratorHotWarning", "AcceleratorHotCritical"))
    return rows(
        About("Nodes", text, "short", 24, 6, none="no monitor sees a device"),
        Column("devices", f"count by (instance) {devices}info{{<node>}}))"),
        Column("unhealthy", f"sum by (instance) {devices}healthy{{<node>}}) == bool 0)", steps=((1, "red"),)),
        Column("held down", f"sum by (instance) {devices}{held}))", steps=((1, "orange"),)),
        Column("hottest", f"max by (instance) {devices}temperature_celsius{{<node>}}))", "celsius", steps=tuple(hot)),
        links={"instance": f"{lead}&${{__url_time_range}}"},
        first="instance",
    )


def _monitors() -> Panel:
    text = "The monitors, whether they page, and the worst delay of their event loop since the last heartbeat."
    return rows(
        About("Monitors", text, "short", 8, none="no monitor"),
        Column("paging", "max by (instance) (vllm_monitor_paging{<node>})", words=_PAGING),
        Column("loop lag", "max by (instance) (vllm_monitor_loop_lag_seconds{<node>})", "s"),
        Column("", "max by (instance, version) (vllm_monitor_build_info{<node>})"),
        first="instance",
    )


def _collectors() -> Panel:
    text = "Collectors whose last look failed: what they read is unknown. A vLLM that does not answer is among them."
    expr = "max by (instance, target, collector) (vllm_monitor_collector_success{<node>} == 0)"
    about = About("Collectors that fail", text, "short", 8, alerts=("MonitorCollectorFailing",), none="none fails")
    return rows(about, Column("", expr))


def _waiting() -> Panel:
    text = "Messages that wait for a sink of the monitor's own; those are optional beside Prometheus."
    expr = "sum by (instance, sink) (vllm_monitor_deliveries_pending{<node>})"
    about = About("Messages waiting", text, "short", 8, alerts=("MonitorDeliveryPending",), none="no sink is set")
    return lines(about, Query(expr, "{{sink}} {{instance}}"))
