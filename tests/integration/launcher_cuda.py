"""Importing this makes torch believe that CUDA is in use: the fork server must notice."""

from __future__ import annotations

import torch

torch.cuda._initialized = True  # what torch.cuda.is_initialized() reads
