"""The three dashboards as they are shipped: what a linter for Grafana would say, and more."""

from __future__ import annotations

import itertools
import json

import promql_parser
import pytest

from charts.chart_rules import find_objects
from promql import BOARDS as FOLDER
from promql import (
    GRAFANA,
    KNOWN,
    Json,
    fill,
    find_strangers,
    read_boards,
    read_expressions,
    read_panels,
    read_selectors,
)
from tools.dashboards.__main__ import BOARDS, render

SHIPPED = read_boards()
each_board = pytest.mark.parametrize("board", SHIPPED.values(), ids=SHIPPED.keys())
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def test_the_shipped_files_are_what_the_builder_writes() -> None:
    """Nobody edits the JSON by hand: ``make dashboards`` writes it."""
    wanted = {name: render(board) for name, board in BOARDS.items()}

    assert wanted == {path.stem: path.read_text() for path in FOLDER.glob("*.json")}


def test_the_chart_brings_each_of_them_to_grafanas_sidecar() -> None:
    """A ConfigMap a board, in a form that is still the same JSON."""
    brought = [json.loads(text) for each in find_objects("ConfigMap") for text in each.get("data", {}).values()]

    assert sorted(SHIPPED.values(), key=lambda board: board["uid"]) == sorted(brought, key=lambda board: board["uid"])


@each_board
def test_the_data_source_is_a_variable(board: Json) -> None:
    """A board works with whatever the user's Prometheus is called."""
    first = board["templating"]["list"][0]
    asked = [each["datasource"] for each in (*board["templating"]["list"][1:], *board["annotations"]["list"])]

    assert ("datasource", "datasource", "prometheus") == (first["name"], first["type"], first["query"])
    assert [] == [each for each in asked if each != DATASOURCE]


@each_board
def test_every_panel_and_target_asks_that_data_source(board: Json) -> None:
    """No panel falls back to the default data source."""
    asked = [each["datasource"] for panel in read_panels(board) for each in (panel, *panel["targets"])]

    assert [] == [each for each in asked if each != DATASOURCE]


@each_board
def test_namespace_and_job_are_variables_that_reload_with_the_time(board: Json) -> None:
    """A job that appeared since the page was opened can be picked."""
    found = {each["name"]: each.get("refresh") for each in board["templating"]["list"][1:]}

    assert {"namespace": 2, "job_name": 2} == found


@each_board
def test_every_variable_is_labelled_and_its_query_names_contract_metrics(board: Json) -> None:
    """``label_values`` of a metric that nobody exports would leave the list empty."""
    queries = [each["definition"] for each in board["templating"]["list"][1:]]
    selectors = [query.removeprefix("label_values(").rpartition(",")[0] for query in queries]

    assert [] == [each["name"] for each in board["templating"]["list"] if not each["label"]]
    assert [] == [stranger for selector in selectors for stranger in find_strangers(selector)]


@each_board
def test_every_panel_has_a_title_and_a_sentence(board: Json) -> None:
    """Somebody who never saw the board can read what a panel shows."""
    silent = [
        panel["id"]
        for panel in read_panels(board)
        if not panel["title"] or len(panel["description"]) < 20 or not panel["description"].endswith(".")
    ]

    assert [] == silent


@each_board
def test_every_panel_has_a_unit_and_decimals(board: Json) -> None:
    """No figure is left to guess what it counts, or drawn with nine digits."""
    defaults = {panel["title"]: panel["fieldConfig"]["defaults"] for panel in read_panels(board)}

    assert [] == [title for title, each in defaults.items() if not each["unit"] or not 0 <= each["decimals"] <= 3]


@each_board
def test_titles_and_numbers_of_panels_are_unique(board: Json) -> None:
    """Links to a panel go by its number; people speak of it by its title."""
    titles = [panel["title"] for panel in board["panels"]]
    numbers = [panel["id"] for panel in board["panels"]]

    assert sorted(set(titles)) == sorted(titles)
    assert sorted(set(numbers)) == sorted(numbers)


@each_board
def test_every_panel_asks_something_and_each_query_has_its_letter(board: Json) -> None:
    """Table columns are named after the letters."""
    letters = {panel["title"]: "".join(each["refId"] for each in panel["targets"]) for panel in read_panels(board)}

    assert {title: "ABCDEFGHIJKLMNOP"[: max(1, len(each))] for title, each in letters.items()} == letters


@each_board
def test_every_expression_parses(board: Json) -> None:
    """With Grafana's variables filled in, it is PromQL."""
    for expr in read_expressions(board).values():
        promql_parser.parse(fill(expr, GRAFANA))


@each_board
def test_only_metrics_and_labels_of_the_contract_are_asked_for(board: Json) -> None:
    """What no exporter exports is drawn by no panel."""
    strangers = {place: found for place, expr in read_expressions(board).items() if (found := find_strangers(expr))}

    assert {} == strangers


@each_board
def test_rates_follow_the_zoom(board: Json) -> None:
    """A fixed window is empty at a slow scrape, and blurs at a near zoom."""
    fixed = {
        place: expr
        for place, expr in read_expressions(board).items()
        if any(f"{function}(" in expr for function in ("rate", "irate", "increase")) and "[$__" not in expr
    }

    assert {} == fixed


@each_board
def test_every_series_has_a_legend(board: Json) -> None:
    """No legend shows a raw label set."""
    nameless = [
        panel["title"]
        for panel in read_panels(board)
        for target in panel["targets"]
        if not target["legendFormat"] and target.get("format") != "table"
    ]

    assert [] == nameless


@each_board
def test_the_board_itself_is_kept_stable_and_linked(board: Json) -> None:
    """Links between boards go by uid and tag; nobody's edits are lost, as none can be made."""
    kept = {key: board[key] for key in ("editable", "graphTooltip", "tags", "schemaVersion", "refresh")}

    assert {"editable": False, "graphTooltip": 1, "tags": ["rfdetr"], "schemaVersion": 41, "refresh": "30s"} == kept
    assert (["rfdetr"], True, True) == tuple(board["links"][0][key] for key in ("tags", "includeVars", "keepTime"))
    assert "__inputs" not in board


def test_the_uids_never_change() -> None:
    """Bookmarks and the links in tables hold them."""
    uids = {name: board["uid"] for name, board in SHIPPED.items()}

    assert {"fleet": "rfdetr-fleet", "training-run": "rfdetr-training-run", "operator": "rfdetr-operator"} == uids


@each_board
def test_no_two_panels_overlap_and_no_row_has_a_hole(board: Json) -> None:
    """Every panel lies on the grid of 24 columns."""
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    bottom = max(y for _, y in cells) + 1

    assert sorted(itertools.product(range(24), range(bottom))) == sorted(cells)


def test_restarts_are_marked_in_the_training_run() -> None:
    """Lines where the run was interrupted; those of checkpoints can be switched on."""
    marks = {each["name"]: each["enable"] for each in SHIPPED["training-run"]["annotations"]["list"]}

    assert {"Restarts": True, "Checkpoints": False} == marks


def test_every_metric_of_a_training_is_drawn_somewhere() -> None:
    """What is exported can be seen; the rest is listed here, with the reason."""
    drawn = {
        selector.name
        for board in SHIPPED.values()
        for expr in read_expressions(board).values()
        for selector in read_selectors(expr)
    }
    left_out = {
        "rfdetr_train_steps_per_epoch",  # a constant of the run
        "rfdetr_train_steps_total",  # the same as the step itself; it is for the alerts
        "rfdetr_val_class_ap_ratio",  # off by default
        "rfdetr_val_duration_seconds_total",  # goodput's category eval
        "rfdetr_checkpoint_stall_seconds_total",  # goodput's category checkpoint
        "rfdetr_job_status_condition",  # the phase says the same in one word
        "rfdetr_job_started_timestamp_seconds",
        "rfdetr_job_completed_timestamp_seconds",
        "rfdetr_job_created_timestamp_seconds",
    }
    parts = {name for name in KNOWN if name.endswith(("_sum", "_count", "_bucket"))}

    assert set() == set(KNOWN) - parts - drawn - left_out
