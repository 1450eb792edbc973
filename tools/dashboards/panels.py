"""Panels as frozen data, and their classic Grafana JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

Json = dict[str, Any]
Steps = tuple[tuple[float | None, str], ...]  # a threshold from a value on (None: from below), and its colour

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
NO_STEPS: Steps = ((None, "text"),)


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression; ``now``: its value at the end of the time range only."""

    expr: str
    legend: str = ""
    now: bool = False
    table: bool = False

    def build(self, ref: str) -> Json:
        """The target of a panel."""
        target: Json = {"refId": ref, "datasource": DATASOURCE, "expr": self.expr, "legendFormat": self.legend}
        if self.now or self.table:
            target |= {"instant": True, "range": False}
        return target | ({"format": "table"} if self.table else {})


def by_name(name: str, properties: Mapping[str, Any]) -> Json:
    """Field properties for the series or column with this name."""
    wanted = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": wanted}


def paint(color: str, **properties: object) -> dict[str, object]:
    """A fixed colour, and what comes with it."""
    return {"color": {"mode": "fixed", "fixedColor": color}} | properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """What every panel says: a title, a sentence on what is seen, a unit and its decimals."""

    kind: ClassVar[str]

    title: str
    description: str
    queries: tuple[Query, ...]
    width: int
    unit: str = "none"
    decimals: int = 0
    color: str | None = None  # None: by thresholds, or by the palette where there are none
    steps: Steps = ()
    limits: tuple[float | None, float | None] = (None, None)
    series: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mappings: tuple[Json, ...] = ()
    empty: str | None = None  # said instead of "No data"

    def build(self, number: int, place: Json) -> Json:
        """The panel's JSON."""
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "gridPos": place,
            "datasource": DATASOURCE,
            "targets": [query.build(chr(ord("A") + index)) for index, query in enumerate(self.queries)],
            "fieldConfig": {
                "defaults": self._defaults(),
                "overrides": [by_name(name, properties) for name, properties in self.series.items()],
            },
            "options": self.options(),
            "transformations": self.transformations(),
        }

    def options(self) -> Json:
        """What this kind of panel can be told."""
        return {}

    def custom(self) -> Json:
        """How this kind of panel draws a field."""
        return {}

    def transformations(self) -> list[Json]:
        """What is done to the data before it is drawn."""
        return []

    def _defaults(self) -> Json:
        steps = [{"value": value, "color": color} for value, color in self.steps or NO_STEPS]
        if self.color is not None:
            color: Json = {"mode": "fixed", "fixedColor": self.color}
        else:
            color = {"mode": "thresholds" if self.steps or self.kind != "timeseries" else "palette-classic"}
        low, high = self.limits
        said: Json = {"min": low, "max": high, "noValue": self.empty}
        return {
            "unit": self.unit,
            "decimals": self.decimals,
            "color": color,
            "thresholds": {"mode": "absolute", "steps": steps},
            "mappings": list(self.mappings),
            "custom": self.custom(),
        } | {key: value for key, value in said.items() if value is not None}


LAST: Json = {"values": False, "calcs": ["lastNotNull"], "fields": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat(Panel):
    """One large value. ``text``: what is written large, the value or the series' name."""

    kind: ClassVar[str] = "stat"

    text: str = "value"
    spark: bool = False

    def options(self) -> Json:
        """Large figures, all of one size."""
        return {
            "colorMode": "value",
            "graphMode": "area" if self.spark else "none",
            "textMode": self.text,
            "justifyMode": "center",
            "orientation": "horizontal",
            "wideLayout": False,
            "reduceOptions": LAST,
            "text": {"valueSize": 30, "titleSize": 13},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves(Panel):
    """Values over time. ``style``: line, stairs (a value holds until the next one), area (stacked) or bars (stacked)."""

    kind: ClassVar[str] = "timeseries"

    style: str = "line"
    legend: tuple[str, ...] = ("lastNotNull",)
    soft_max: float | None = None

    def options(self) -> Json:
        """The legend below, with the last value; a tooltip of all series."""
        return {
            "legend": {
                "showLegend": True,
                "displayMode": "list",
                "placement": "bottom",
                "calcs": list(self.legend),
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def custom(self) -> Json:
        """How the lines look."""
        stacked = self.style in ("area", "bars")
        return {
            "drawStyle": "bars" if self.style == "bars" else "line",
            "lineInterpolation": "stepAfter" if self.style == "stairs" else "linear",
            "lineWidth": 0 if self.style == "bars" else 1 if stacked else 2,
            "fillOpacity": 85 if self.style == "bars" else 40 if stacked else 0,
            "barWidthFactor": 0.9,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        } | ({} if self.soft_max is None else {"axisSoftMax": self.soft_max})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares(Panel):
    """Horizontal bars, one a series, all on one scale."""

    kind: ClassVar[str] = "bargauge"

    def options(self) -> Json:
        """Names on the left, values on the right."""
        return {
            "displayMode": "basic",
            "orientation": "horizontal",
            "valueMode": "text",
            "namePlacement": "left",
            "showUnfilled": True,
            "sizing": "auto",
            "minVizHeight": 16,
            "minVizWidth": 8,
            "maxVizHeight": 300,
            "reduceOptions": LAST,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(Panel):
    """One row an object. ``columns``: field and heading, in order; fields that are not named are left out."""

    kind: ClassVar[str] = "table"

    columns: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = ()
    sort: str = ""

    def options(self) -> Json:
        """A quiet table."""
        sort = [{"displayName": self.sort, "desc": False}] if self.sort else []
        return {"showHeader": True, "cellHeight": "sm", "sortBy": sort}

    def custom(self) -> Json:
        """Plain cells unless a column says otherwise."""
        return {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False}

    def transformations(self) -> list[Json]:
        """The queries' rows become one row an object; columns are named and ordered."""
        order = {name: index for index, (name, _) in enumerate(self.columns)}
        return [
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": dict.fromkeys(("Time", *self.dropped), True),
                    "indexByName": order,
                    "renameByName": dict(self.columns),
                },
            },
        ]
