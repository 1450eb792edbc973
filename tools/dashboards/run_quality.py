"""The upper half of the training run: state, mAP with its patience, scores, losses."""

from __future__ import annotations

from tools.dashboards.board import Row
from tools.dashboards.looks import GREY, PATIENCE, PODS, RESTARTS, name_phases
from tools.dashboards.panels import Curves, Query, Stat, paint
from tools.dashboards.run_queries import DASHED, JOB, highest, map_of, of
from tools.dashboards.shared import number

SUMMARY = Row(
    4,
    (
        Stat(
            title="State",
            description="The job's phase, as `kubectl get rfj` shows it.",
            queries=(Query(f"max by (phase) (rfdetr_job_status_phase{{{JOB}}}) == 1", "{{phase}}", now=True),),
            width=3,
            text="name",
            series=name_phases(),
            empty="no operator",
        ),
        Stat(
            title="Epochs done",
            description="Finished epochs of the planned number. Early stopping may end the run sooner.",
            queries=(of(highest("rfdetr_train_epoch"), highest("rfdetr_train_epochs_planned")),),
            width=3,
            text="name",
            color="text",
        ),
        Stat(
            title="mAP 50:95 now",
            description="Of the last validation: the better of the regular and the EMA weights, from 0 to 1.",
            queries=(Query(highest("rfdetr_val_map_ratio", 'iou="50_95"'), "mAP"),),
            width=4,
            decimals=3,
            color="blue",
            spark=True,
        ),
        Stat(
            title="Best mAP 50:95",
            description="The best validation so far, and the epoch (counted from 1) that reached it. Its weights are kept.",
            queries=(
                Query(
                    f"topk(1, {highest('rfdetr_val_best_map_ratio', by='weights')})\n* on (weights) group_left (epoch) "
                    f'count_values by (weights) ("epoch", {highest("rfdetr_val_best_epoch", by="weights")})',
                    "epoch {{epoch}}",
                    now=True,
                ),
            ),
            width=4,
            decimals=3,
            color="green",
            text="value_and_name",
        ),
        Stat(
            title="Patience used",
            description=(
                "Validated epochs without an improvement, of the number that ends the run. Yellow from half of it, orange from 80 %."
            ),
            queries=(
                of(highest("rfdetr_early_stopping_wait_epochs"), highest("rfdetr_early_stopping_patience_epochs")),
            ),
            width=3,
            unit="percentunit",
            text="name",
            steps=PATIENCE,
            empty="off",
        ),
        number(
            "Time left",
            "To the last planned epoch at the pace so far, validation included.",
            highest("rfdetr_train_eta_seconds"),
            "left",
            width=3,
            unit="s",
            decimals=1,
        ),
        number(
            "Restarts",
            "Pods replaced since the job was created, for any reason. The dashed lines in the graphs are rendezvous rounds.",
            f"sum (rfdetr_job_restarts_total{{{JOB}, {PODS}}}) or vector(0)",
            "restarts",
            steps=RESTARTS,
        ),
    ),
)

QUALITY = Row(
    10,
    (
        Curves(
            title="Validation mAP 50:95",
            description="One step per validation. EMA: exponential moving average of the weights. Regular: the weights themselves, with `eval_base_model: true` in training.overrides.",
            queries=(
                Query(map_of("regular"), "Regular"),
                Query(map_of("ema"), "EMA"),
                Query(highest("rfdetr_val_best_map_ratio"), "Best"),
            ),
            width=15,
            decimals=3,
            style="stairs",
            series={
                "Regular": paint(GREY),
                "EMA": paint("blue", **{"custom.lineWidth": 3}),
                "Best": paint("green", **{"custom.lineStyle": DASHED}),
            },
        ),
        Curves(
            title="Early stopping: epochs without improvement",
            description="When the orange stairs reach the red line, the run ends: patience is used up. A new best sets them back to 0.",
            queries=(
                Query(highest("rfdetr_early_stopping_wait_epochs"), "Waited"),
                Query(highest("rfdetr_early_stopping_patience_epochs"), "Patience: the run ends"),
            ),
            width=9,
            limits=(0, None),
            style="stairs",
            series={
                "Waited": paint("orange", **{"custom.fillOpacity": 25}),
                "Patience: the run ends": paint("red", **{"custom.lineStyle": DASHED}),
            },
            empty="early stopping is off",
        ),
    ),
    "How good is it?",
)

SCORES = Row(
    8,
    (
        Curves(
            title="mAP by IoU",
            description="How strict the match is: 50 asks for half an overlap, 75 for a tight box, 50:95 is the mean of ten limits. Better weights of the two.",
            queries=(
                Query(
                    f'label_replace({highest("rfdetr_val_map_ratio", by="iou")}, "iou", "50:95", "iou", "50_95")',
                    "mAP {{iou}}",
                ),
            ),
            width=8,
            decimals=3,
            style="stairs",
            series={"mAP 50": paint("light-blue"), "mAP 50:95": paint("blue"), "mAP 75": paint("purple")},
        ),
        Curves(
            title="Precision, recall, F1",
            description="Of the last validation at RF-DETR's own score threshold; the better weights of the two.",
            queries=(
                Query(highest("rfdetr_val_precision_ratio"), "Precision"),
                Query(highest("rfdetr_val_recall_ratio"), "Recall"),
                Query(highest("rfdetr_val_f1_ratio"), "F1"),
                Query(highest("rfdetr_val_mar_ratio"), "mAR"),
            ),
            width=8,
            decimals=3,
            style="stairs",
            series={
                "Precision": paint("light-blue"),
                "Recall": paint("purple"),
                "F1": paint("blue", **{"custom.lineWidth": 3}),
                "mAR": paint(GREY),
            },
        ),
        Curves(
            title="Loss: training and validation",
            description="Both totals. A validation loss that rises while the training loss falls is overfitting; it is there with `compute_val_loss: true` in training.overrides.",
            queries=(
                Query(highest("rfdetr_train_loss", 'component="total"'), "Training"),
                Query(highest("rfdetr_val_loss"), "Validation"),
            ),
            width=8,
            decimals=2,
            limits=(0, None),
            series={
                "Training": paint("blue", **{"custom.lineWidth": 1}),
                "Validation": paint("orange", **{"custom.lineInterpolation": "stepAfter", "custom.lineWidth": 3}),
            },
        ),
    ),
)

OPTIMISATION = Row(
    8,
    (
        Curves(
            title="Training loss by part",
            description="The parts of the last step's loss: class, box, generalised IoU, and the masks' own where the job segments.",
            queries=(Query(highest("rfdetr_train_loss", 'component!="total"', by="component"), "{{component}}"),),
            width=12,
            decimals=2,
            limits=(0, None),
            series={
                "class": paint("blue"),
                "box": paint("orange"),
                "giou": paint("purple"),
                "mask_ce": paint("green"),
                "mask_dice": paint("light-green"),
            },
        ),
        Curves(
            title="Learning rate",
            description="By parameter group: the encoder usually learns more slowly than the rest.",
            queries=(Query(highest("rfdetr_train_learning_rate", by="group"), "{{group}}"),),
            width=12,
            unit="sci",
            decimals=1,
            limits=(0, None),
        ),
    ),
    "Is it learning?",
)
