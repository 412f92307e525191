"""What the server does: requests, caches, tokens, and what its users see."""

from grafana_foundation_sdk.builders import dashboard as build

from dashboards import shown
from dashboards.board import Row, board, instance, model, target
from dashboards.panels import About, Panel, Query, lines
from dashboards.tables import Column, rows

_ENGINE = "{{target}} {{engine}}"


def vllm() -> build.Dashboard:
    """Give the dashboard of the server's own figures."""
    return board(
        "vllm",
        "vLLM monitor / vLLM",
        "Caches, queue, tokens and users' latencies as the server counts them, under names that outlive its renames.",
        [instance(), model(), target()],
        (
            Row("Server", (shown.state(6), _served())),
            Row("Requests", (_requests(), _arrivals(), _queued())),
            Row("What users see", (_users("ttft", "TTFT"), _users("tpot", "TPOT"), _users("e2e", "E2E"))),
            Row("Caches", (_kv(), _hits(), _preempted())),
            Row(
                "Tokens and steps",
                (_tokens("generation", "Generated tokens"), _tokens("prompt", "Prompt tokens"), _steps()),
            ),
            Row("Process", (_restarts(), _throttled(), _swapped())),
        ),
    )


def _served() -> Panel:
    text = "What each server serves. The hash is of its visible engine settings: another hash, other settings."
    expr = "max by (instance, target, model, version, engine_args_hash) (vllm_monitor_vllm_info{<target>})"
    return rows(About("Served", text, "short", 18, 4, none="no server answers"), Column("", expr))


def _requests() -> Panel:
    text = "Requests being executed and requests in the queue, for each engine."
    return lines(
        About("Requests running and waiting", text, "short", 8),
        Query("vllm_monitor_vllm_requests_running{<target>}", f"{_ENGINE} running"),
        Query("vllm_monitor_vllm_requests_waiting{<target>}", f"{_ENGINE} waiting"),
    )


def _arrivals() -> Panel:
    text = "Users' requests that got a first token; the canary's are not among them."
    about = About("Users' requests", text, "reqps", 8)
    return lines(about, Query("vllm_monitor_vllm_requests_per_second{<target>}", "{{target}}"))


def _queued() -> Panel:
    return _mean("queue", "Time in the queue", "Mean of users' time in the queue; the canary's is not among it.")


def _users(metric: str, name: str) -> Panel:
    return _mean(metric, f"Users' {name}", f"Mean of users' {name}, from intervals in which no canary ran.")


def _mean(metric: str, title: str, text: str) -> Panel:
    total, count = (
        f"sum by (instance, target) (rate(vllm_monitor_vllm_{metric}_seconds_{part}{{<target>}}[$__rate_interval]))"
        for part in ("sum", "count")
    )
    about = About(title, text, "s", 8, every="1m", none="no requests of users")
    return lines(about, Query(f"{total}\n/ ({count} > 0)", "{{target}}"))


def _kv() -> Panel:
    text = "KV cache in use. A full one alone is a busy server's right; together with preemptions it is too small."
    about = About("KV cache in use", text, "percentunit", 8, alerts=("VllmKvCachePressure",))
    return lines(about, Query("vllm_monitor_vllm_kv_cache_usage_ratio{<target>}", _ENGINE))


def _hits() -> Panel:
    text = (
        "Prefix cache hits / lookups, of tokens: over each interval free of canaries; where a server only reports a "
        "rate of its own, that one."
    )
    expr = (
        "max by (instance, target, engine) (vllm_monitor_vllm_prefix_cache_hit_ratio{<target>})\n"
        "or max by (instance, target, engine) (vllm_monitor_vllm_prefix_cache_reported_hit_ratio{<target>})"
    )
    about = About("Prefix cache hits", text, "percentunit", 8, none="nothing was looked up")
    return lines(about, Query(expr, _ENGINE))


def _preempted() -> Panel:
    text = "Requests that the scheduler preempted: their work is done again."
    expr = "sum by (instance, target, engine) (rate(vllm_monitor_vllm_preemptions_total{<target>}[$__rate_interval]))"
    return lines(About("Preemptions", text, "ops", 8), Query(expr, _ENGINE))


def _tokens(what: str, title: str) -> Panel:
    text = f"{title} per second, the canary's included; from the server's log where it has no metrics."
    expr = (
        "sum by (instance, target, engine) "
        f"(rate(vllm_monitor_vllm_{what}_tokens_total{{<target>}}[$__rate_interval]))\n"
        f"or max by (instance, target, engine) (vllm_monitor_vllm_{what}_throughput_tokens_per_second{{<target>}})"
    )
    return lines(About(title, text, "short", 8), Query(expr, _ENGINE))


def _steps() -> Panel:
    text = "Steps of each engine per second, its heartbeat: none while requests run or wait is a hung engine."
    expr = "sum by (instance, target, engine) (rate(vllm_monitor_vllm_engine_steps_total{<target>}[$__rate_interval]))"
    return lines(About("Engine steps", text, "ops", 8), Query(expr, _ENGINE))


def _restarts() -> Panel:
    text = "Time since the server's process started; a drop is a restart."
    expr = "time() - max by (instance, target) (vllm_monitor_vllm_start_time_seconds{<target>})"
    return lines(About("Uptime", text, "s", 8, none="several API servers, or none"), Query(expr, "{{target}}"))


def _throttled() -> Panel:
    text = "Share of time in which the server's control group was held back by its CPU limit."
    expr = "rate(vllm_monitor_vllm_cpu_throttled_seconds_total{<target>}[$__rate_interval])"
    about = About("Held back by a CPU limit", text, "percentunit", 8, none="no limit, or not on the monitor's node")
    return lines(about, Query(expr, "{{target}}"))


def _swapped() -> Panel:
    text = "Memory of the server and its processes that is swapped out."
    about = About("Swapped out", text, "bytes", 8, none="not on the monitor's node")
    return lines(about, Query("vllm_monitor_vllm_swapped_bytes{<target>}", "{{target}}"))
