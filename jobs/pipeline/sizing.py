"""Batch size and number of workers when the user gave none."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LARGEST_BATCH = {"cpu": 64, "cuda": 256}  # a GPU waits for Python between small ones: an H100 half its time at 64
MOST_WORKERS = {"cpu": 8, "cuda": 32}  # an H100 explains 3000 pictures a second, a core decodes 200
MEMORY_SHARE = {"cpu": 0.3, "cuda": 0.5}  # of what is free now: weights, decoded batches, others need some too
VALUES_PER_TOKEN = 20  # floats a block keeps per token and channel for its backward: qkv, mlp (4 + 4), norms, sums
CPU_BATCH_FLOPS = 5e11  # a few seconds of work, so that progress moves and Ctrl-C answers
CGROUP = Path("/sys/fs/cgroup")
PREFETCH = 2  # batches every worker keeps ready
FLOAT_BYTES = 4


def default_workers(device: str = "cpu") -> int:
    """One process per core that there is for us, up to a bound: where the model takes the time, they only wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
    return min(max(1, cores), MOST_WORKERS[_kind(device)])


def workers_for_shared_memory(workers: int, batch_bytes: int) -> int:
    """As many workers as /dev/shm holds batches for: when it runs over, a worker dies of a bus error.

    Containers often have 64 MB there. At least one worker is returned.
    """
    return max(1, min(workers, _batches_in_shared_memory(batch_bytes)))


def batch_for_shared_memory(batch: int, sample_bytes: int) -> int:
    """As many samples, up to ``batch``, that one worker's batches fit into /dev/shm; at least one."""
    return max(1, min(batch, _batches_in_shared_memory(sample_bytes)))


def _batches_in_shared_memory(size: int) -> int:
    """How many batches of so many bytes workers may fill at a time, each keeping some ready."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:  # no such place on this system: nothing to run over
        return sys.maxsize
    return int(free * 0.8 // max(1, size * (PREFETCH + 1)))


def default_batch_size(model: Any, *, tokens: int, depth: int, device: str) -> int:
    """A batch that fits into free memory (and, on a CPU, into a few seconds), from 1 to 64 or, on a GPU, 256.

    The width follows from the parameter count: a transformer block has about 12 width² parameters.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    width = math.sqrt(parameters / (12 * max(depth, 1)))
    sample_bytes = depth * tokens * width * VALUES_PER_TOKEN * FLOAT_BYTES
    fitting = MEMORY_SHARE[_kind(device)] * free_memory(device) / sample_bytes
    if not device.startswith("cuda"):
        fitting = min(fitting, CPU_BATCH_FLOPS / (2 * parameters * tokens))
    return int(min(max(fitting, 1), LARGEST_BATCH[_kind(device)]))


def _kind(device: str) -> str:
    return "cuda" if device.startswith("cuda") else "cpu"


def free_memory(device: str) -> int:
    """Free bytes of the GPU, or of the machine (or container)."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return min(_machine_memory(), _container_memory())


def _machine_memory() -> int:
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":") for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux
        return 4 * 1024**3


def _container_memory() -> int:
    """What the container's limit leaves; /proc/meminfo speaks of the whole machine."""
    try:
        limit, used = (int((CGROUP / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no limit ("max"), or no such control group
        return sys.maxsize
    return max(limit - used, 0)


def batch_bytes(batch_size: int, size: Sequence[int]) -> int:
    """Bytes of a batch of float RGB tensors of `size` (height, width)."""
    return batch_size * 3 * size[0] * size[1] * FLOAT_BYTES
