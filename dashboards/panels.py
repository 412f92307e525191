"""Panels as all dashboards draw them: with words, a unit, the datasource variable, and the alerts' thresholds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.alerts import Steps, entries, steps, thresholds

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT = 8
SELECTED = {
    "<node>": 'instance=~"$instance"',
    "<target>": 'instance=~"$instance",target=~"$target"',
    "<probe>": 'instance=~"$instance",target=~"$target",profile=~"$profile"',
}
"""What queries write for the series that the variables select."""

Panel = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel | heatmap.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, table.Panel, statetimeline.Panel, heatmap.Panel)
Words = Mapping[int, tuple[str, str]]
"""A text and a colour for each code that a query gives."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query: its PromQL, with the selectors of SELECTED, and what its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What every panel has. `width` is of 24; `none` is shown where there is nothing, `every` is the shortest step.

    `alerts` are those that fire on what it shows: they give its thresholds and its links; `steps` are other thresholds.
    """

    title: str
    description: str
    unit: str
    width: int = 12
    height: int = HEIGHT
    alerts: tuple[str, ...] = ()
    steps: Steps = ()
    none: str = "not told"
    every: str = ""
    words: Words | None = None


def lines(about: About, *queries: Query, stacked: bool = False, aside: bool = False) -> timeseries.Panel:
    """Draw series over time; thresholds are dashed lines. With `aside` many series are named beside, not below."""
    beside = kinds.LegendPlacement.RIGHT if aside else kinds.LegendPlacement.BOTTOM
    legend = common.VizLegendOptions().display_mode(kinds.LegendDisplayMode.LIST).show_legend(True)
    panel = dressed(timeseries.Panel(), about, targets(queries))
    panel = panel.fill_opacity(20 if stacked else 0).line_width(1).show_points(kinds.VisibilityMode.AUTO)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    if about.alerts or about.steps:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED))
    return panel.legend(legend.placement(beside)).tooltip(
        common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    )


def number(about: About, *queries: Query) -> stat.Panel:
    """Show the newest values, large, in the colour of their threshold or word."""
    shown = common.ReduceDataOptions().calcs(["lastNotNull"])
    panel = dressed(stat.Panel(), about, targets(queries, instant=True)).reduce_options(shown)
    named = any(query.legend for query in queries)
    return (
        panel.color_mode(kinds.BigValueColorMode.BACKGROUND if about.words else kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(kinds.BigValueTextMode.VALUE_AND_NAME if named else kinds.BigValueTextMode.VALUE)
        .orientation(kinds.VizOrientation.AUTO)
    )


def history(about: About, *queries: Query) -> statetimeline.Panel:
    """Show which word held when, a line for each series."""
    panel = dressed(statetimeline.Panel(), about, targets(queries))
    return panel.show_value(kinds.VisibilityMode.NEVER).merge_values(True).row_height(0.8)


def buckets(about: About, query: Query) -> heatmap.Panel:
    """Draw a histogram over time."""
    target = _query(query, "A").format(PromQueryFormat.HEATMAP)
    colour = (
        heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").scale(HeatmapColorScale.EXPONENTIAL)
    )
    panel = dressed(heatmap.Panel(), about, [target.legend_format("{{le}}")])
    return panel.color(colour.exponent(0.5).steps(64)).y_axis(heatmap.YAxisConfig().unit(about.unit))


def dressed(panel: P, about: About, targets: Iterable[prometheus.Dataquery]) -> P:
    """Give a panel all that every panel has."""
    panel = panel.title(about.title).description(about.description).unit(about.unit).datasource(SOURCE)
    panel = panel.span(about.width).height(about.height).no_value(about.none).links(entries(about.alerts))
    panel = panel.thresholds(thresholds([*about.steps, *steps(about.alerts)]))
    if about.every:
        panel = panel.interval(about.every)
    if about.words:
        panel = panel.mappings([mapping(about.words)])
    for target in targets:
        panel = panel.with_target(target)
    return panel


def targets(queries: Iterable[Query], *, instant: bool = False) -> list[prometheus.Dataquery]:
    """Give the queries as a panel asks them, called A, B, C."""
    found = [_query(query, letter) for query, letter in zip(queries, ascii_uppercase, strict=False)]
    return [one.instant() if instant else one.range() for one in found]


def _query(query: Query, letter: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(asked(query.expr)).legend_format(query.legend)


def asked(expr: str) -> str:
    """Give the PromQL that Grafana reads: with what the variables select."""
    for short, matchers in SELECTED.items():
        expr = expr.replace(short, matchers)
    return expr


def mapping(words: Words) -> ValueMap:
    """Give words as Grafana writes them."""
    return ValueMap(
        {
            str(code): ValueMappingResult(text=text, color=colour, index=index)
            for index, (code, (text, colour)) in enumerate(words.items())
        }
    )
