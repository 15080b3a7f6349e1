"""transformers: ViLT, one stream of text tokens and image patches."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import EngineError
from engine.models.adapter import Batch, Inputs, Tower, middle_block
from engine.models.picture_text import PictureTextAdapter
from engine.models.pixel_mask import valid_cells, valid_grids
from engine.models.questions import text_content
from engine.models.readout import token_row
from engine.models.tokens import TextTokenizer
from engine.targets import Output

_BLOCKS = "vilt.encoder.layer"


class Vilt(PictureTextAdapter):
    """``ViltForQuestionAnswering``: text first, then the image; the classifier reads the first text token.

    The library takes the patches in random order. Attention does not depend on the order, so they are put back into
    grid order here (cells without picture are masked), which makes the map an image and the result repeatable.
    """

    family = "vilt"
    task = "answer"
    description = "ViLT: question answering over pixels, one stream of words and patches"
    example = "hf:dandelin/vilt-b32-finetuned-vqa"

    def recognises(self, model: nn.Module) -> bool:
        """ViltForQuestionAnswering."""
        return type(model).__name__ == "ViltForQuestionAnswering"

    def check(self, model: nn.Module) -> None:
        """Every configuration of the class is understood; pictures that would lose patches are refused one by one."""

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """As for all models of a picture and a text; without a mask all pixels are picture."""
        batch = super().prepare(model, inputs, tokenizer)
        batch.setdefault("pixel_mask", torch.ones_like(batch["image"][:, 0], dtype=torch.long))
        self._check_patches(model, batch)
        return batch

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """One joint stream: text, the image's own class token, patches."""
        mask, depth = batch["attention_mask"].bool(), self.layers(model)["joint"]
        grid = _grid(model, batch)
        cells = valid_cells(batch["pixel_mask"], grid)
        texts, tokens = mask.shape[1], mask.shape[1] + 1 + grid[0] * grid[1]
        words = torch.cat([text_content(batch), torch.zeros_like(mask[:, :1]), cells.flatten(1)], dim=1)
        return (
            Tower(
                modality="joint",
                layers=tuple(f"{_BLOCKS}.{i}.attention.attention" for i in range(depth)),
                states=f"{_BLOCKS}.{depth - 1}",
                start=token_row(len(mask), tokens, (0,), batch["image"]),
                content=words,
                grid=grid,
                grids=valid_grids(cells),
                split={"text": (0, texts), "image": (texts + 1, tokens)},
                valid=torch.cat([mask, torch.ones_like(mask[:, :1]), cells.flatten(1)], dim=1),
                middle=middle_block(_BLOCKS, depth),
            ),
        )

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Answer logits [B, C]."""
        return Output(logits=_run(model, batch))

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Number of layers."""
        config: Any = model.config
        return {"joint": int(config.num_hidden_layers)}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """Self-attention writes its softmax out."""
        paths = [f"{_BLOCKS}.{i}.attention.attention" for i in range(self.layers(model)["joint"])]
        return {path: f"{path}.dropout" for path in paths}

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and longest text."""
        config: Any = model.config
        return int(config.vocab_size), int(config.max_position_embeddings)

    def _check_patches(self, model: nn.Module, batch: Batch) -> None:
        config: Any = model.config
        most = config.max_image_length
        cells = int(valid_cells(batch["pixel_mask"], _grid(model, batch)).flatten(1).sum(1).max())
        if isinstance(most, int) and 0 <= most < cells:
            raise EngineError(
                f"a picture of {cells} patches: this ViLT keeps a random {most} of them (max_image_length), "
                "so its answer cannot be explained; use smaller pictures"
            )


class ViltRetrieval(Vilt):
    """``ViltForImageAndTextRetrieval``: the score of an image-text pair, one number instead of answers."""

    family = "vilt-retrieval"
    task = "pair"
    description = "ViLT: image-text matching score, one stream of words and patches"
    example = "hf:dandelin/vilt-b32-finetuned-coco"

    def recognises(self, model: nn.Module) -> bool:
        """ViltForImageAndTextRetrieval."""
        return type(model).__name__ == "ViltForImageAndTextRetrieval"

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Pair logit [B]."""
        return Output(logits=_run(model, batch)[:, 0])


def _run(model: nn.Module, batch: Batch) -> Tensor:
    embeds, mask = _ordered_patches(model, batch)
    logits: Tensor = model(
        input_ids=batch["text"],
        attention_mask=batch["attention_mask"],
        image_embeds=embeds,
        pixel_mask=mask,
    ).logits
    return logits


def _ordered_patches(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Embedded class token and patches in grid order [B, 1 + h * w, D], and their mask [B, 1 + h * w].

    The library draws the order from PyTorch's global random numbers; their state is put back.
    """
    vilt: Any = model.get_submodule("vilt")
    device = batch["image"].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        drawn, mask, (cells, (height, width)) = vilt.embeddings.visual_embed(
            batch["image"], batch["pixel_mask"], max_image_length=vilt.config.max_image_length
        )
    sample, place = mask[:, 1:].nonzero(as_tuple=True)
    cell = cells[sample, place, 0] * width + cells[sample, place, 1]
    embeds = drawn.new_zeros(len(drawn), 1 + height * width, drawn.shape[-1])
    embeds[:, 0] = drawn[:, 0]
    embeds[sample, 1 + cell] = drawn[sample, 1 + place]
    ordered = F.pad(valid_cells(batch["pixel_mask"], (height, width)).flatten(1).long(), (1, 0), value=1)
    return embeds, ordered


def _grid(model: nn.Module, batch: Batch) -> tuple[int, int]:
    config: Any = model.config
    return batch["image"].shape[-2] // config.patch_size, batch["image"].shape[-1] // config.patch_size
