"""What the authors' LRP does differently from one architecture to the next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conventions:
    """Choices that the authors' code makes per family; the defaults are those of their ViT.

    Attributes:
        mask_is_operand: an additive mask on the scores counts as the second operand of an Add (VisualBERT: even when
            it is zero), instead of getting nothing.
        scaled_query: q is multiplied by the softmax scale before q k^T (DETR), so the rule sees the scaled product.
        positions_share: position embeddings take their share of an Add; in DETR they get nothing.
        linear_keeps_sum: the result of a linear layer is scaled so that a sample's relevance keeps its sum (DETR).
        clones: groups of module names. Consumers of a value that run inside a module of a group are merged by the Clone
            rule among themselves first, as the authors nest their Clones; it matters in the ninth digit.
        cloned: path of the module whose output takes the Clone rule once more (DETR's encoder).
        zero_stream: stream whose last states start with a relevance of zero, so that they count as a consumer in the
            Clone rule (LXMERT's image stream).
        start_at_value: the start relevance is ``logit * div(1, logit)`` instead of one (DETR).

    Not listed, because it reaches no map: where the value branch of an attention returns no relevance at all, the
    authors' DETR scales the shares of q and k up. That happens in the first decoder layer, whose input is zero; below
    it there is nothing to explain.
    """

    mask_is_operand: bool = False
    scaled_query: bool = False
    positions_share: bool = True
    linear_keeps_sum: bool = False
    clones: tuple[tuple[str, ...], ...] = ()
    cloned: str | None = None
    zero_stream: str | None = None
    start_at_value: bool = False


DEFAULT = Conventions()

FAMILIES: dict[str, Conventions] = {
    "visualbert": Conventions(mask_is_operand=True, clones=(("attention.self",),)),
    "lxmert": Conventions(clones=(("visual_attention",), ("key", "value")), zero_stream="image"),
    "detr": Conventions(
        scaled_query=True,
        positions_share=False,
        linear_keeps_sum=True,
        clones=(("encoder_attn",),),
        cloned="model.encoder",
        start_at_value=True,
    ),
}
"""By the adapter's family; others follow the defaults."""
