"""Pictures on their way to a GPU while it works on those before them."""

from __future__ import annotations

import torch

from engine import LoadedModel
from jobs.pipeline.loading import Batch


class Upload:
    """Sends the pictures of batches to a GPU on a stream of its own; they should lie in pinned memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    @classmethod
    def of(cls, loaded: LoadedModel) -> Upload | None:
        """For the GPU that a model lies on; None where it lies on none."""
        device = next(loaded.model.parameters()).device
        return cls(device) if device.type == "cuda" else None

    def __call__(self, batch: Batch) -> Batch:
        """The batch with its pictures on the GPU; what is asked of it from now on waits for them."""
        pictures = batch.inputs.get("image")
        if pictures is None:
            return batch
        works = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(self._stream):
            sent = pictures.to(self._device, non_blocking=True)
        works.wait_stream(self._stream)
        sent.record_stream(works)  # its memory is not given away before that stream is done with it
        batch.inputs = {**batch.inputs, "image": sent}
        return batch
