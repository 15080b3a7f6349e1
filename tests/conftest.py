"""Settings for all tests, made before any library is imported."""

from __future__ import annotations

import os

# Threads that wait by spinning take the cores from the processes that tests start beside themselves.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
