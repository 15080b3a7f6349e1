"""Memory of the server over time, and what its log says."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import psutil


class Memory:
    """Resident megabytes of a process, read every second."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process
        self.megabytes: list[float] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Memory:
        """Begin."""
        self._began, self._cpu = time.monotonic(), self._seconds()
        self.megabytes.append(self.now())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading."""
        self._ending.set()
        self._thread.join()
        self.megabytes.append(self.now())
        self.share_of_core = (self._seconds() - self._cpu) / (time.monotonic() - self._began)

    def now(self) -> float:
        """Megabytes at this moment."""
        return self.process.memory_info().rss / 1e6

    def figures(self) -> dict[str, Any]:
        """Start, peak and end; the highest in each tenth of the time; the rise over the second half per minute."""
        all_, n = self.megabytes, len(self.megabytes)
        tenths = [max(all_[i * n // 10 : max((i + 1) * n // 10, i * n // 10 + 1)]) for i in range(10)]
        half = all_[n // 2 :]
        middle, last = sum(half[: len(half) // 3 + 1]), sum(half[-(len(half) // 3 + 1) :])
        rise = (last - middle) / (len(half) // 3 + 1) / max(len(half) * 2 / 3 / 60, 1e-9)
        return {
            "start_mb": round(all_[0]),
            "peak_mb": round(max(all_)),
            "end_mb": round(all_[-1]),
            "peak_mb_by_tenth": [round(value) for value in tenths],
            "rise_in_second_half_mb_per_minute": round(rise, 1),
            "cores": round(self.share_of_core, 2),
        }

    def _read(self) -> None:
        while not self._ending.wait(1):
            self.megabytes.append(self.now())

    def _seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


def complaints(log: Path) -> list[str]:
    """The last line of every traceback in a log, and lines that tell of an uncaught error."""
    text = log.read_text(errors="replace")
    found = []
    for block in text.split("Traceback (most recent call last)")[1:]:
        lines = [line for line in block.splitlines()[1:] if line.strip()]
        found.append(next((line for line in lines if not line.startswith(" ")), lines[-1] if lines else "cut off"))
    return found + re.findall(r"^.*(?:Uncaught|Segmentation fault|terminate called).*$", text, re.MULTILINE)
