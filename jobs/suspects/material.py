"""The pictures, texts and the model of a run, for intervening on them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine import LoadedModel, explain_targets
from jobs.coverage import cover_of_boxes, cover_of_mask, parse_boxes
from jobs.origin import find_dataset, find_model
from jobs.pictures import PictureError, decode_mask, read_pictures
from jobs.readers import Dataset
from jobs.suspects.spec import SuspectsSpec
from storage import RunRecord


@dataclass(frozen=True)
class Material:
    """The dataset and model that a run was made with, found again."""

    dataset: Dataset
    loaded: LoadedModel
    batch_size: int

    # -- pictures -------------------------------------------------------------------------------------

    def pictures(self, ids: Sequence[int]) -> tuple[list[int], list[Image.Image]]:
        """Those of the samples whose picture can (still) be read, and their pictures."""
        return read_pictures(self.dataset, ids)

    def inputs(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures as model inputs [B, 3, H, W]."""
        assert self.loaded.preprocess is not None
        return torch.stack([torch.as_tensor(self.loaded.preprocess(picture)) for picture in pictures])

    @torch.no_grad()
    def score(self, images: Tensor) -> np.ndarray:
        """Class probabilities [B, C] of model inputs [B, 3, H, W]."""
        return self._probabilities([{"image": images[k : k + self.batch_size]} for k in self._starts(len(images))])

    def score_pictures(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Class probabilities [B, C] of pictures, uint8 [H, W, 3] each."""
        return self.score(self.inputs([Image.fromarray(picture) for picture in pictures]))

    @torch.no_grad()
    def score_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Class probabilities [B, C] of texts."""
        return self._probabilities([{"text": list(texts[k : k + self.batch_size])} for k in self._starts(len(texts))])

    def _starts(self, count: int) -> range:
        return range(0, count, self.batch_size)

    def _probabilities(self, batches: Sequence[dict[str, Any]]) -> np.ndarray:
        adapter, model = self.loaded.adapter, self.loaded.model
        found = []
        for batch in batches:
            output = adapter.forward(model, adapter.prepare(model, batch, self.loaded.tokenizer))
            found.append(output.logits.float().softmax(dim=1).cpu().numpy())
        return np.concatenate(found)

    def states(self, images: Tensor, grid: tuple[int, int]) -> np.ndarray:
        """Middle-block states of all image tokens, [B, h * w, D], as `run --patches` stores those of a few."""
        tokens = grid[0] * grid[1]
        found = []
        for start in self._starts(len(images)):
            batch = images[start : start + self.batch_size]
            patches = explain_targets(self.loaded, batch, [None], method="random", patches=tokens)[0].patches
            assert patches is not None
            order = patches.tokens.argsort(dim=1)
            states = patches.states.gather(1, order[..., None].expand(-1, -1, patches.states.shape[2]))
            found.append(states.float().cpu().numpy())
        return np.concatenate(found)

    def object_cells(self, ids: Sequence[int], sizes: Sequence[tuple[int, int]], grid: tuple[int, int]) -> np.ndarray:
        """How far the object's mask (or boxes) covers each cell, [B, h * w]; NaN rows where nothing is known."""
        assert self.loaded.preprocess is not None
        cells = np.full((len(ids), grid[0] * grid[1]), np.nan, np.float32)
        for row, (sample, size) in enumerate(zip(ids, sizes, strict=True)):
            view = self.loaded.preprocess.view(*size)
            try:
                mask = None if self.dataset.mask is None else self.dataset.mask[sample].as_py()
                boxes = None if self.dataset.boxes is None else self.dataset.boxes[sample].as_py()
                if mask is not None:
                    cells[row] = cover_of_mask(decode_mask(self.dataset.at(mask)), view, grid).reshape(-1)
                elif boxes is not None:
                    cells[row] = cover_of_boxes(parse_boxes(boxes), size, view, grid).reshape(-1)
            except (PictureError, ValueError, TypeError):
                continue
        return cells

    def text(self, sample: int) -> str:
        """The text of a sample, '' without."""
        return "" if self.dataset.text is None else self.dataset.text[sample].as_py() or ""


def find_material(record: RunRecord, spec: SuspectsSpec) -> Material:
    """Open the data and load the model of a run. `JobError` when they are gone or are not the same any more."""
    where = spec.whereabouts("--no-verify")
    dataset = find_dataset(record, where)
    return Material(dataset, find_model(record, where), spec.batch_size)
