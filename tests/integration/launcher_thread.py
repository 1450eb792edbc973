"""Importing this starts a thread that stays: the fork server must notice."""

from __future__ import annotations

import threading
import time

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
