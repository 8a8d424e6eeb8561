"""The kinds of panels in the dashboards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models

PROMETHEUS = models.DataSourceRef(type_val="prometheus", uid="prometheus")
GREEN, YELLOW, RED = "green", "yellow", "red"
HEIGHT, STAT_HEIGHT = 8, 4


@dataclass(frozen=True)
class Query:
    """PromQL and the legend of its lines, with {{label}}."""

    expr: str
    legend: str
    exemplars: bool = False


def _target(number: int, query: Query, *, instant: bool) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(chr(ord("A") + number))
        .datasource(PROMETHEUS)
        .exemplar(query.exemplars)
    )
    return target.instant() if instant else target.range()


def _thresholds(steps: Sequence[tuple[float | None, str]]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps])
    )


def lines(
    title: str, about: str, unit: str, *queries: Query, width: int = 12, stacked: bool = False
) -> Any:
    """Return a panel of lines over time; `about` explains good and bad values to a newcomer."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(HEIGHT)
        .min(0)
        .line_width(2)
        .fill_opacity(45 if stacked else 10)
        .show_points(kinds.VisibilityMode.NEVER)
        .tooltip(
            common.VizTooltipOptions()
            .mode(kinds.TooltipDisplayMode.MULTI)
            .sort(kinds.SortOrder.DESCENDING)
        )
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(kinds.LegendPlacement.BOTTOM)
            .calcs(["mean", "max", "lastNotNull"])
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    for number, query in enumerate(queries):
        panel.with_target(_target(number, query, instant=False))
    return panel


def figure(
    title: str,
    about: str,
    unit: str,
    query: Query,
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),),
    *,
    width: int = 4,
    texts: dict[str, str] | None = None,
    named: bool = False,
) -> Any:
    """Return a panel of one figure, coloured by thresholds.

    `texts` replace values by words; `named` shows the legend instead of the value.
    """
    text_mode = kinds.BigValueTextMode.VALUE_AND_NAME if texts else kinds.BigValueTextMode.AUTO
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(STAT_HEIGHT)
        .color_mode(kinds.BigValueColorMode.BACKGROUND)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(kinds.BigValueTextMode.NAME if named else text_mode)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps))
        .with_target(_target(0, query, instant=True))
    )
    if texts:
        options = {
            value: models.ValueMappingResult(text=text, index=place)
            for place, (value, text) in enumerate(texts.items())
        }
        panel.mappings([models.ValueMap(options=options)])
    return panel


def board(uid: str, title: str, about: str, rows: Sequence[tuple[str, Sequence[Any]]]) -> Any:
    """Return a dashboard of titled rows, each row's panels from left to right."""
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags(["payments"])
        .refresh("10s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboard.DashboardLink("Payments")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags(["payments"])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
    )
    number = 0
    for row_title, panels in rows:
        number += 1
        made.with_row(dashboard.Row(row_title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    return made.build()
