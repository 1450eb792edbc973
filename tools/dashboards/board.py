"""A board: rows of panels laid out on Grafana's grid of 24 columns, with the variables and links that all boards share."""

from __future__ import annotations

from dataclasses import dataclass

from tools.dashboards.panels import DATASOURCE, Json, Panel

COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other, one height for all; a title makes it a section."""

    height: int
    panels: tuple[Panel, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Vertical lines where an expression is above zero."""

    name: str
    expr: str
    color: str
    text: str
    shown: bool = True

    def build(self) -> Json:
        """The annotation's JSON."""
        return {
            "name": self.name,
            "datasource": DATASOURCE,
            "enable": self.shown,
            "hide": False,
            "iconColor": self.color,
            "expr": self.expr,
            "step": "15s",
            "titleFormat": self.name,
            "textFormat": self.text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A whole dashboard. ``source``: the metric whose labels fill the variables; ``many``: several jobs at once."""

    uid: str
    title: str
    description: str
    source: str
    rows: tuple[Row, ...]
    many: bool
    marks: tuple[Mark, ...] = ()
    period: str = "now-6h"

    def build(self) -> Json:
        """The dashboard's classic JSON."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["rfdetr"],
            "schemaVersion": 41,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": self.period, "to": "now"},
            "links": [build_links()],
            "annotations": {"list": [mark.build() for mark in self.marks]},
            "templating": {"list": self._variables()},
            "panels": build_panels(self.rows),
        }

    def _variables(self) -> list[Json]:
        pick = "=~" if self.many else "="
        return [
            {
                "name": "datasource",
                "label": "Data source",
                "type": "datasource",
                "query": "prometheus",
                "hide": 0,
                "current": {},
                "refresh": 1,
            },
            self._variable("namespace", "Namespace", f"label_values({self.source}, namespace)"),
            self._variable("job_name", "Job", f'label_values({self.source}{{namespace{pick}"$namespace"}}, job_name)'),
        ]

    def _variable(self, name: str, label: str, query: str) -> Json:
        everything: Json = {"text": ["All"], "value": ["$__all"]}
        return {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "definition": query,
            "refresh": 2,  # at each change of the time range
            "sort": 1,
            "includeAll": self.many,
            "multi": self.many,
            "allValue": ".*" if self.many else None,
            "current": everything if self.many else {},
            "hide": 0,
            "options": [],
        }


def build_links() -> Json:
    """To the other boards, with the same variables and the same time."""
    return {
        "title": "RF-DETR",
        "type": "dashboards",
        "tags": ["rfdetr"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }


def build_panels(rows: tuple[Row, ...]) -> list[Json]:
    """Every panel at its place: rows from above, panels from the left."""
    built: list[Json] = []
    top = 0
    for row in rows:
        if row.title:
            place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            built.append(
                {
                    "id": len(built) + 1,
                    "type": "row",
                    "title": row.title,
                    "collapsed": False,
                    "gridPos": place,
                    "panels": [],
                }
            )
            top += 1
        left = 0
        for panel in row.panels:
            built.append(panel.build(len(built) + 1, {"x": left, "y": top, "w": panel.width, "h": row.height}))
            left += panel.width
        if left != COLUMNS:
            raise ValueError(f"the row {row.title or row.panels[0].title!r} is {left} columns wide, not {COLUMNS}")
        top += row.height
    return built
