"""Training run: one job from its mAP down to its memory. The top row answers what most people came to ask."""

from __future__ import annotations

from tools.dashboards.board import Board, Mark, Row
from tools.dashboards.looks import CATEGORIES, PODS, QUANTILES, name_categories
from tools.dashboards.panels import Curves, Query, Shares, paint
from tools.dashboards.queries import quantiles
from tools.dashboards.run_quality import OPTIMISATION, QUALITY, SCORES, SUMMARY
from tools.dashboards.run_queries import DASHED, JOB, grown, highest, newer, rate, share_of
from tools.dashboards.shared import number

TIME = Row(
    9,
    (
        Curves(
            title="Where the time goes",
            description="Pod time by what it was spent on; each bar is 100 % of it. Green and blue are useful, the rest is not.",
            queries=tuple(share_of(category, name) for category, (name, _) in CATEGORIES.items()),
            width=14,
            unit="percentunit",
            decimals=1,
            limits=(0, 1),
            style="bars",
            legend=(),
            series={name: paint(color) for name, color in CATEGORIES.values()},
        ),
        Shares(
            title="Where the time went, in all",
            description="The same over the whole time range: pod time of all the job's pods since each began.",
            queries=(
                Query(f"sort_desc({grown('rfdetr_goodput_seconds_total', 'category')} > 0)", "{{category}}", now=True),
            ),
            width=10,
            unit="s",
            decimals=1,
            limits=(0, None),
            series=name_categories(),
        ),
    ),
    "Where does the time go?",
)

SPEED = Row(
    8,
    (
        Curves(
            title="Step time",
            description="Quantiles of an optimizer step over all ranks. p99 far above p50: something stalls now and then.",
            queries=quantiles("rfdetr_train_step_duration_seconds", JOB),
            width=8,
            unit="s",
            decimals=1,
            limits=(0, None),
            series=QUANTILES,
        ),
        Curves(
            title="Images per second",
            description="Images trained on, all ranks together, over wall time: the dips are validation, checkpoints and restarts.",
            queries=(Query(rate("rfdetr_train_samples_total"), "images/s"),),
            width=8,
            decimals=1,
            limits=(0, None),
            color="blue",
            legend=("mean", "lastNotNull"),
        ),
        Curves(
            title="Share of a step spent waiting",
            description="Data: waiting for the next batch; above 30 % the data loader sets the pace. Slowest rank: how much longer it works than the median.",
            queries=(
                Query(
                    f"{rate('rfdetr_train_data_wait_seconds_total')} / ({rate('rfdetr_train_step_duration_seconds_sum')} > 0)",
                    "Data",
                ),
                Query(f"clamp_min({highest('rfdetr_train_straggler_ratio')} - 1, 0)", "Slowest rank"),
            ),
            width=8,
            unit="percentunit",
            decimals=1,
            limits=(0, None),
            soft_max=0.3,
            series={"Data": paint("orange"), "Slowest rank": paint("purple")},
        ),
    ),
    "How fast is it?",
)

SAFETY = Row(
    8,
    (
        Curves(
            title="Steps: trained and safe",
            description="The gap between the two is what a crash would cost right now. A step back of the blue line is work that was redone.",
            queries=(
                Query(highest("rfdetr_train_step"), "Trained"),
                Query(highest("rfdetr_checkpoint_step"), "In a durable checkpoint"),
            ),
            width=8,
            limits=(0, None),
            series={
                "Trained": paint("blue"),
                "In a durable checkpoint": paint("green", **{"custom.lineInterpolation": "stepAfter"}),
            },
        ),
        Curves(
            title="Checkpoint: age and duration",
            description="Age: time since the newest durable one. Duration: what it took to become durable; the training goes on meanwhile.",
            queries=(
                Query(f"time() - {highest('rfdetr_checkpoint_timestamp_seconds')}", "Age"),
                Query(highest("rfdetr_checkpoint_duration_seconds"), "Duration"),
            ),
            width=8,
            unit="s",
            decimals=1,
            limits=(0, None),
            series={"Age": paint("orange"), "Duration": paint("purple")},
        ),
        number(
            "Checkpoint size",
            "Of the newest durable checkpoint.",
            highest("rfdetr_checkpoint_size_bytes"),
            "size",
            unit="bytes",
            decimals=1,
        ),
        number(
            "Steps redone",
            "Optimizer steps done again after restarts, over the whole run.",
            highest("rfdetr_steps_redone_total"),
            "steps",
            steps=((None, "text"), (1, "yellow")),
        ),
    ),
    "Is it safe?",
)

WORLD = Row(
    7,
    (
        Curves(
            title="Ranks and rounds",
            description="World size: ranks that train together. Round: a new one begins after each restart or resize.",
            queries=(
                Query(highest("rfdetr_world_size"), "World size"),
                Query(highest("rfdetr_generation"), "Round"),
            ),
            width=8,
            limits=(0, None),
            style="stairs",
            series={"World size": paint("blue"), "Round": paint("orange", **{"custom.lineStyle": DASHED})},
        ),
        Curves(
            title="Restarts and faults",
            description="By reason, in all: worker processes restarted in their pods, pods replaced by the operator, checkpoints not saved.",
            queries=(
                Query(f"max by (reason) (rfdetr_process_restarts_total{{{JOB}}}) > 0", "Processes: {{reason}}"),
                Query(f"max by (reason) (rfdetr_job_restarts_total{{{JOB}, {PODS}}}) > 0", "Pods: {{reason}}"),
                Query(f"max by (reason) (rfdetr_checkpoint_failures_total{{{JOB}}}) > 0", "Checkpoints: {{reason}}"),
            ),
            width=8,
            limits=(0, None),
            style="stairs",
            empty="none so far",
            soft_max=1,
        ),
        Curves(
            title="GPU memory",
            description="Allocated by PyTorch, and its highest value since the process began, by node and device. A CPU job has none.",
            queries=(
                Query(
                    f"max by (node_rank, device) (rfdetr_train_gpu_memory_allocated_bytes{{{JOB}}})",
                    "node {{node_rank}} gpu {{device}}",
                ),
                Query(
                    f"max by (node_rank, device) (rfdetr_train_gpu_memory_peak_bytes{{{JOB}}})",
                    "node {{node_rank}} gpu {{device}} peak",
                ),
            ),
            width=8,
            unit="bytes",
            decimals=1,
            limits=(0, None),
            empty="no GPU",
        ),
    ),
)


TRAINING_RUN = Board(
    uid="rfdetr-training-run",
    title="RF-DETR / Training run",
    description="One training: how good it is, how close to its end, how fast, and how safe.",
    source="rfdetr_train_epoch",
    many=False,
    rows=(SUMMARY, QUALITY, SCORES, OPTIMISATION, TIME, SPEED, SAFETY, WORLD),
    marks=(
        Mark(
            "Restarts",
            newer("rfdetr_generation"),
            "red",
            "A new rendezvous round began: the run went on from its last checkpoint.",
        ),
        Mark("Checkpoints", newer("rfdetr_checkpoint_step"), "purple", "A checkpoint became durable.", shown=False),
    ),
)
