"""What the engine needs to know about a model: its token streams, where they are read out, and how to run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import EngineError, UnsupportedModel
from engine.models.relation import Relation, Steps
from engine.models.tokens import TextTokenizer
from engine.targets import Output

Inputs = Tensor | Mapping[str, Any]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Tower:
    """One token stream with self-attention, for a given batch.

    Attributes:
        modality: "image", "text", or "joint" for one stream that holds both (see ``split``).
        layers: sites of the self-attentions, first to last.
        states: path of the last block; its output is the token states [B, N, D].
        start: row that reads the answer out, [B, N] (over the latents, [B, L], when there is a pool).
        content: tokens that are shown, [B, N] boolean (no CLS, registers, start, end or padding tokens).
        prefix: leading tokens that are dropped from the relevancy (image towers).
        grid: rows and columns of the shown image tokens.
        grids: of these, rows and columns that are not padding, [B, 2], where pictures may differ in size.
        pool: path of an attention pool that follows the layers, its queries being latents.
        pool_offset: first token that the pool reads.
        split: token range [first, last) of each modality of a joint stream.
        words: tokens whose text piece is shown, [B, N] boolean (default: the content).
        valid: tokens that are not padding, [B, N] boolean; None when there is no padding.
        whole_map: methods that read the last map weigh heads and scale over the whole map, not over the read-out row
            (the authors' convention for VisualBERT).
        normalised_rollout: rollout divides rows by their sum (the authors do not for VisualBERT).
        middle: path of the block after which half of the blocks have run, of streams with image tokens; None where no
            block's tokens are those of the map: patches are then taken from ``states``.
        beyond: tokens that follow and were left out of the pass, as no answer can depend on them (of causal streams);
            their relevancy is 0. All other fields speak of the tokens before them.
    """

    modality: str
    layers: tuple[str, ...]
    states: str
    start: Tensor
    content: Tensor
    prefix: int = 0
    grid: tuple[int, int] | None = None
    grids: Tensor | None = None
    pool: str | None = None
    pool_offset: int = 0
    split: Mapping[str, tuple[int, int]] | None = None
    words: Tensor | None = None
    valid: Tensor | None = None
    whole_map: bool = False
    normalised_rollout: bool = True
    middle: str | None = None
    beyond: int = 0

    @property
    def ranges(self) -> dict[str, tuple[int, int]]:
        """Token range [first, last) of each modality that relevancy is returned for."""
        return dict(self.split) if self.split else {self.modality: (self.prefix, self.tokens)}

    def first_layer(self, start_layer: int) -> int:
        """A start layer (negative counts from the end) as an index from 0.

        Raises:
            EngineError: the tower has no such layer.
        """
        depth = len(self.layers)
        if not -depth <= start_layer < depth:
            raise EngineError(
                f"start layer {start_layer} is out of range: the {self.modality} tower has {depth} layers "
                f"(0 to {depth - 1}, or -1 for the last)"
            )
        return start_layer % depth

    @property
    def tokens(self) -> int:
        """N, all tokens of the stream."""
        return self.content.shape[1]

    def padded(self, keys: Tensor) -> Tensor:
        """Bring a row over the keys of a pool, which may leave out the first tokens, to all tokens: [B, N]."""
        missing = self.tokens - keys.shape[-1]
        return F.pad(keys, (missing, 0)) if missing else keys


def middle_block(blocks: str, depth: int) -> str:
    """Path of block depth // 2, counted from 1, of the list at ``blocks``; of the only block where there is one."""
    return f"{blocks}.{max(depth // 2, 1) - 1}"


class Adapter(ABC):
    """Knowledge about one family of models. Stateless; never changes a model."""

    family: ClassVar[str]
    library: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    description: ClassVar[str]
    example: ClassVar[str]
    task: ClassVar[str] = "classify"
    """"classify", "pair" (image-text score), "answer" (question about a picture) or "detect"."""
    reads_regions: ClassVar[bool] = False
    """Whether the picture comes as feature vectors of regions with boxes instead of pixels."""

    def families(self) -> dict[str, str]:
        """Names of the families that this adapter serves -> a model to try."""
        return {self.family: self.example}

    def family_of(self, model: nn.Module) -> str:
        """The one of :meth:`families` that a model belongs to."""
        return self.family

    @abstractmethod
    def recognises(self, model: nn.Module) -> bool:
        """Tell whether the model belongs to this family."""

    @abstractmethod
    def check(self, model: nn.Module) -> None:
        """Raise UnsupportedModel, naming the part and the reason, when the model cannot be explained faithfully."""

    @abstractmethod
    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Bring inputs into the form that :meth:`forward` takes, on the model's device."""

    def shortened(self, model: nn.Module, batch: Batch) -> Batch:
        """The batch, marked so that tokens that no answer can depend on are left out of the pass, if there are such."""
        return batch

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """Describe the token streams for this batch; none for models that are described by a relation."""
        return ()

    def steps(self, model: nn.Module) -> Steps | None:
        """Attention steps between several streams, or None for models that are described by towers."""
        return None

    def stream_states(self, model: nn.Module) -> dict[str, tuple[str, int]]:
        """Per stream of a relation: path of the module, and element of its output, that holds the last token states."""
        return {}

    def idle_sites(self, model: nn.Module) -> tuple[str, ...]:
        """Attention maps that cannot reach the answer and are no step; the capture expects to see them."""
        return ()

    def relation(self, model: nn.Module, batch: Batch, output: Output) -> Relation:
        """Describe the streams between which :meth:`steps` run, once the model has run."""
        raise NotImplementedError

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """Modules that write their softmax out: path -> path of the dropout that the weights go through."""
        return {}

    def regions(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Boxes [B, K, 4] as fractions of the picture and mask [B, K] of the regions that were read, if any."""
        return None

    def region_width(self, model: nn.Module) -> int:
        """Width of the feature vector of one region."""
        raise NotImplementedError

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Run the unmodified model."""

    def embed_images(self, model: nn.Module, batch: Batch) -> Tensor:
        """Unit vectors [B, D] of the pictures alone; of the batch only "image" is read.

        Raises:
            UnsupportedModel: the model does not embed pictures and texts apart from each other.
        """
        raise UnsupportedModel(
            f"{type(model).__name__} does not embed pictures and texts apart from each other; CLIP and SigLIP do"
        )

    def embed_texts(self, model: nn.Module, batch: Batch) -> Tensor:
        """Unit vectors [B, D] of the texts alone, comparable with those of pictures; as :meth:`embed_images`."""
        return self.embed_images(model, batch)

    @abstractmethod
    def layers(self, model: nn.Module) -> dict[str, int]:
        """Return the number of self-attention layers per modality ("cross": layers between two streams)."""

    def num_classes(self, model: nn.Module) -> int | None:
        """Number of classes where they are the adapter's own; None where the model says how many it has."""
        return None

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary size and longest text in tokens, of models that read texts."""
        raise NotImplementedError

    def grid(self, model: nn.Module, batch: Batch) -> tuple[int, int] | None:
        """Rows and columns of the image tokens of a batch."""
        return next((tower.grid for tower in self.towers(model, batch) if tower.grid), None)

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Settings that the capture needs, put back on exit."""
        return nullcontext()

    def default_start_layer(self, model: nn.Module) -> int:
        """First explained layer unless the user says otherwise."""
        return 0
