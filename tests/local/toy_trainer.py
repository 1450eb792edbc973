"""A stand-in for the trainer's container: steps of a tenth of a second, a report, a save on SIGTERM.

It is started with the launcher's own flags and environment: ``python toy_trainer.py --node-rank=0 ...``. Each rank
keeps its step in the output folder and goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from rfdetr_contract.report import Best, ExitCode, Judgement, Outcome, Progress, RunReport, Scores
from rfdetr_contract.run import RunConfig

STEP = 0.02  # seconds
STEPS_PER_EPOCH = 10


class Toy:
    """One rank."""

    def __init__(self, rank: int, environ: dict[str, str]) -> None:
        self.rank = rank
        self.run = RunConfig.model_validate_json(Path(environ["RFDETR_RUN_CONFIG"]).read_text())
        self.termination = Path(environ["RFDETR_TERMINATION_LOG"])
        self.port = int(environ["RFDETR_HTTP_PORT"])
        self.saved = Path(environ["RFDETR_OUTPUT_ROOT"]) / self.run.output / f"rank-{rank}.json"
        self.saved.parent.mkdir(parents=True, exist_ok=True)
        self.step = json.loads(self.saved.read_text()) if self.saved.exists() else 0
        self.asked_to_leave = False

    def report(self, outcome: Outcome, judgement: Judgement | None = None) -> RunReport:
        """Where it stands."""
        epoch = self.step // STEPS_PER_EPOCH
        value = min(0.1 * epoch, 0.9)
        progress = Progress(
            epoch=epoch,
            epochs=self.run.training.epochs,
            step=self.step,
            steps_per_epoch=STEPS_PER_EPOCH,
            regular=Scores(map50_95=value, map50=value),
            best=Best(value=value, epoch=epoch),
        )
        return RunReport(
            outcome=outcome,
            node_rank=self.rank,
            time=time.time(),
            progress=progress,
            judgement=judgement,
            best_checkpoint=f"{self.run.output}/best.pth" if judgement else None,
        )

    def leave(self, outcome: Outcome, code: int, judgement: Judgement | None = None) -> int:
        """Save, say the last words."""
        self.saved.write_text(json.dumps(self.step))
        self.termination.write_text(self.report(outcome, judgement).to_termination_message())
        return code

    def train(self) -> int:
        """Step by step to the last one, or to the first SIGTERM."""
        while self.step < self.run.training.epochs * STEPS_PER_EPOCH:
            if self.asked_to_leave:
                return self.leave(Outcome.PREEMPTED, ExitCode.PREEMPTED)
            time.sleep(STEP)
            self.step += 1
        judged = Judgement(map50_95=0.9, map50=0.9, reported=0.9, tolerance=0.005, agrees=True)
        return self.leave(Outcome.COMPLETED, ExitCode.OK, judged)


def serve(toy: Toy) -> None:
    """``/report`` on the rank's port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = toy.report(Outcome.RUNNING).model_dump_json().encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", toy.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main(argv: list[str]) -> int:
    rank = next(int(part.partition("=")[2]) for part in argv if part.startswith("--node-rank="))
    toy = Toy(rank, dict(os.environ))
    signal.signal(signal.SIGTERM, lambda *_: setattr(toy, "asked_to_leave", True))
    serve(toy)
    print(f"rank {rank} from step {toy.step}", flush=True)
    return toy.train()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
