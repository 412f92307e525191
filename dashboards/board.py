"""What all dashboards share: variables, annotations, and links to each other and to the runbook."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLink,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.alerts import RUNBOOK
from dashboards.panels import SOURCE, Panel, asked

TAG = "vllm-monitor"
Choice = Literal["all", "one"]
_KNOWN = "vllm_monitor_vllm_info|vllm_monitor_heartbeat_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading, in lines of 24; `repeat` names a variable for each of whose values there is one."""

    title: str
    panels: tuple[Panel, ...]
    repeat: str = ""


def board(
    name: str, title: str, description: str, variables: Sequence[build.QueryVariable], rows: Sequence[Row]
) -> build.Dashboard:
    """Put a dashboard together; `name` makes its address, which stays."""
    chosen = {one.build().name for one in variables}
    made = build.Dashboard(title).uid(f"{TAG}-{name}").description(description).tags([TAG]).timezone("browser")
    made = made.time("now-6h", "now").refresh("1m").tooltip(DashboardCursorSync.CROSSHAIR).editable()
    made = made.variables([_datasource(), *variables]).annotations(_annotations(targets="target" in chosen))
    made = made.links(_links())
    numbers = iter(range(1, 1000))
    for row in rows:
        heading = build.Row(row.title).id(next(numbers))
        made = made.with_row(heading.repeat(row.repeat) if row.repeat else heading)
        for panel in row.panels:
            made = made.with_panel(panel.id(next(numbers)))
    return made


def _annotations(*, targets: bool) -> list[Builder[AnnotationQuery]]:
    """Give what is drawn on all graphs; where no server can be chosen, of all servers of the monitors that are."""
    return [_Annotation(one, "<target>" if targets else "<node>") for one in _MOMENTS]


def _datasource() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def instance(choice: Choice = "all") -> build.QueryVariable:
    """Let monitors be chosen, by the address that Prometheus scrapes."""
    made = _variable("instance", "Monitor", "label_values(vllm_monitor_build_info, instance)", choice)
    return made.all_value(".+") if choice == "all" else made


def model() -> build.QueryVariable:
    """Let one or all models be chosen; with all of them, servers whose model is not known are seen, too."""
    asks = 'label_values(vllm_monitor_vllm_info{instance=~"$instance"}, model)'
    return _variable("model", "Model", asks).all_value(".*")


def target(choice: Choice = "all") -> build.QueryVariable:
    """Let servers be chosen, of the model that is; what is down is among them, as its monitor's heart beats."""
    asks = f'label_values({{__name__=~"{_KNOWN}",instance=~"$instance",model=~"$model"}}, target)'
    return _variable("target", "Server", asks, choice)


def profile(choice: Choice = "all") -> build.QueryVariable:
    """Let profiles of the canary be chosen."""
    asks = f"label_values({asked('vllm_monitor_judged{<target>}')}, profile)"
    return _variable("profile", "Canary", asks, choice)


def _variable(name: str, label: str, asks: str, choice: Choice = "all") -> build.QueryVariable:
    made = build.QueryVariable(name).label(label).datasource(SOURCE).query({"query": asks, "refId": name})
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.NATURAL_ASC)
    if choice == "one":
        return made.current(VariableOption(text="short", value="short")) if name == "profile" else made
    return made.include_all(True).multi(True).current(VariableOption(text="All", value="$__all"))


def _links() -> list[Builder[DashboardLink]]:
    others = build.DashboardLink("vLLM monitor").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    runbook = build.DashboardLink("Runbook").type(DashboardLinkType.LINK).url(RUNBOOK).icon("doc").target_blank(True)
    return [others.include_vars(True).keep_time(True), runbook]


@dataclass(frozen=True, slots=True)
class _Moment:
    """Something drawn on all graphs of a dashboard: when a query's value says so, or while it is above zero."""

    name: str
    expr: str
    title: str
    text: str
    colour: str
    at_value: bool = True


_MOMENTS = (
    _Moment(
        "Onsets",
        "1000 * vllm_monitor_finding_since_timestamp_seconds{<target>}",
        "{{subject}}", "{{severity}} {{kind}} of {{target}}: since then it holds", "red",
    ),
    _Moment(
        "Deploys and notes", "1000 * vllm_monitor_annotation_timestamp_seconds{<target>}",
        "{{annotation}}", "told of {{target}} with monitor annotate", "blue",
    ),
    _Moment("Restarts", "1000 * vllm_monitor_vllm_start_time_seconds{<target>}", "{{target}} started", "", "purple"),
    _Moment(
        "Baselines", "1000 * vllm_monitor_baseline_captured_timestamp_seconds{<target>}",
        "baseline {{baseline}}", "captured of {{target}}", "green",
    ),
    _Moment("Mutes", "vllm_monitor_muted{<target>}", "{{target}} muted", "", "yellow", at_value=False),
)  # fmt: skip


class _Annotation(Builder[AnnotationQuery]):
    """One moment as an annotation; the SDK has no words for how Prometheus's annotations are written."""

    def __init__(self, moment: _Moment, selected: str) -> None:
        self._made = _Named(moment, selected)

    def build(self) -> AnnotationQuery:
        """Give the annotation as Grafana keeps it."""
        return self._made


class _Named(AnnotationQuery):
    def __init__(self, moment: _Moment, selected: str) -> None:
        expr = asked(moment.expr.replace("<target>", selected))
        super().__init__(moment.name, SOURCE, icon_color=moment.colour, expr=expr)
        self._moment = moment

    def to_json(self) -> dict[str, object]:
        words = {"titleFormat": self._moment.title, "textFormat": self._moment.text, "tagKeys": "target"}
        return super().to_json() | words | {"useValueForTime": self._moment.at_value}
