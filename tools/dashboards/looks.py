"""Colours and words that mean the same on every board."""

from __future__ import annotations

from tools.dashboards.panels import Json, Steps, paint

GREY = "#8e9aaf"
PHASES = {
    "Pending": GREY,
    "Starting": "light-blue",
    "Running": "green",
    "Restarting": "orange",
    "Suspending": "light-purple",
    "Suspended": "purple",
    "Resizing": "light-yellow",
    "Succeeded": "blue",
    "Failed": "red",
}
# Where a pod's time goes, from useful to lost.
CATEGORIES = {
    "train": ("Training", "green"),
    "eval": ("Validation", "blue"),
    "judge": ("Judging", "super-light-blue"),
    "checkpoint": ("Checkpoints", "purple"),
    "init": ("Start", GREY),
    "rendezvous": ("Rendezvous", "yellow"),
    "idle": ("Waiting for peers", "#565f73"),
    "redone": ("Steps redone", "orange"),
    "hang": ("Hang", "red"),
}
PODS = 'reason!="ProcessRestart"'  # restarts inside pods have a series of their own, and accompany each lost peer
PATIENCE: Steps = ((None, "green"), (0.5, "yellow"), (0.8, "orange"))
QUANTILES = {"p50": paint("blue", **{"custom.lineWidth": 3}), "p90": paint(GREY), "p99": paint("orange")}
RESTARTS: Steps = ((None, "text"), (1, "yellow"), (5, "red"))


def color_phases() -> tuple[Json, ...]:
    """A phase is written in its colour."""
    options = {
        phase: {"text": phase, "color": color, "index": index} for index, (phase, color) in enumerate(PHASES.items())
    }
    return ({"type": "value", "options": options},)


def name_categories() -> dict[str, dict[str, object]]:
    """A category under its plain name, in its colour."""
    return {key: paint(color, displayName=name) for key, (name, color) in CATEGORIES.items()}


def name_phases() -> dict[str, dict[str, object]]:
    """A phase's series in its colour."""
    return {phase: paint(color) for phase, color in PHASES.items()}
