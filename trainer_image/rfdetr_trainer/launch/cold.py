"""A worker started without the fork server's imports: ``python -m rfdetr_trainer.launch.cold MODULE PARENT``."""

from __future__ import annotations

import sys

from rfdetr_trainer.launch.process import die_with_parent, leave, run_worker

if __name__ == "__main__":
    die_with_parent(int(sys.argv[2]))
    leave(run_worker(sys.argv[1]))
