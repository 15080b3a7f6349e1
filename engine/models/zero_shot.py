"""Image classifiers out of image-text models: the classes are texts, encoded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.capture.kernel import wide
from engine.errors import EngineError, UnknownName
from engine.models.adapter import Batch
from engine.models.embedding import encode_words
from engine.models.loading import LoadedModel
from engine.models.pairs import PairAdapter
from engine.models.side import ImageSide
from engine.targets import Output

PLAIN = ("a photo of a {}.",)
TEMPLATE_SETS = ("plain", "openai", "simple")
PLACE = "{}"
"""Where a template takes the name of a class."""


class ZeroShot(ImageSide):
    """The image tower of a two-tower model as a classifier: its logit of the picture with each class's vector.

    Radford et al., *Learning Transferable Visual Models From Natural Language Supervision*, 2021, section 3.1.4. Of the
    model only the image tower runs and is explained; the map of a class is the image map of the pair (picture, prompt
    of the class). For SigLIP too the probabilities of classes are a softmax over them.

    Attributes:
        pairs: the adapter of the two-tower model.
        weights: unit vector of each class, [C, D].
        names: of the classes, C of them.
    """

    family = "zero-shot"
    task = "classify"
    description = "an image-text model with two towers, its classes given as texts"
    example = "open_clip:ViT-B-32/laion2b_s34b_b79k"

    def __init__(self, pairs: PairAdapter, weights: Tensor, names: Sequence[str]) -> None:
        self.pairs = pairs
        self.weights = weights
        self.names = list(names)
        self.library = pairs.library  # type: ignore[misc]  # that of the model, which differs here

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]; the product with the class vectors is never made in half precision."""
        vectors = wide(self.pairs.embed_images(model, batch))
        with torch.autocast(vectors.device.type, enabled=False):
            cosine = F.linear(vectors, self.weights.to(vectors))
            return Output(logits=self.pairs.pair_logits(model, cosine))

    def embed_images(self, model: nn.Module, batch: Batch) -> Tensor:
        """Through the image tower."""
        return self.pairs.embed_images(model, batch)

    def embed_texts(self, model: nn.Module, batch: Batch) -> Tensor:
        """Through the text tower."""
        return self.pairs.embed_texts(model, batch)

    def num_classes(self, model: nn.Module) -> int:
        """Of the given classes."""
        return len(self.names)


def zero_shot(
    loaded: LoadedModel, classes: Mapping[str, Sequence[str]], templates: Sequence[str] = PLAIN, batch_size: int = 64
) -> LoadedModel:
    """Make a classifier of an image-text model. The texts are encoded here, once.

    A class's vector is the mean of the unit vectors of its prompts, brought to unit length again (Radford et al., 2021,
    section 3.1.4).

    Args:
        loaded: a model with an image and a text tower: CLIP, SigLIP, CoCa.
        classes: name -> its prompts, used as they are; a class without any gets each of ``templates``.
        templates: texts that hold ``{}`` where the name of the class goes.
        batch_size: prompts that are encoded at once.

    Raises:
        EngineError: the model has no two towers, or there is no class or no prompt.
    """
    pairs = loaded.adapter
    if not isinstance(pairs, PairAdapter) or loaded.tokenizer is None:
        raise EngineError(
            f"{loaded.name} cannot classify by texts: it does not embed pictures and texts apart from each other; "
            "CLIP and SigLIP do"
        )
    prompts = {name: prompts_of(name, own, templates) for name, own in classes.items()}
    if not prompts or not all(prompts.values()):
        raise EngineError("a zero-shot classifier needs at least one class, and a prompt or a template for each")
    with torch.inference_mode(False), torch.no_grad():
        texts = [text for group in prompts.values() for text in group]
        vectors = encode_words(loaded, texts, batch_size)
        groups = vectors.split([len(group) for group in prompts.values()])
        weights = F.normalize(torch.stack([group.mean(dim=0) for group in groups]), dim=-1)
    names = list(prompts)
    return replace(loaded, adapter=ZeroShot(pairs, weights, names), tokenizer=None, class_names=names)


def prompts_of(name: str, own: Sequence[str], templates: Sequence[str]) -> list[str]:
    """The prompts of a class: its own, or the templates with its name, whose underscores are read as blanks.

    Raises:
        EngineError: a template has no place for the name.
    """
    if own:
        return list(own)
    for template in templates:
        if PLACE not in template:
            raise EngineError(f"template {template!r} has no {PLACE}, where the name of the class goes")
    return [template.replace(PLACE, name.replace("_", " ")) for template in templates]


def template_set(name: str) -> list[str]:
    """A set of templates by name: "plain", or one of open_clip's: "openai" (80 for ImageNet) or "simple" (7 of them).

    Raises:
        UnknownName: there is no such set.
    """
    if name == "plain":
        return list(PLAIN)
    from open_clip import zero_shot_metadata

    known = {
        "openai": zero_shot_metadata.OPENAI_IMAGENET_TEMPLATES,
        "simple": zero_shot_metadata.SIMPLE_IMAGENET_TEMPLATES,
    }
    if name not in known:
        raise UnknownName("set of templates", name, TEMPLATE_SETS)
    return [template(PLACE) for template in known[name]]
