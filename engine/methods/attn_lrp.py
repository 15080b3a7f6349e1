"""AttnLRP: relevance of the tokens at the input of the first explained block."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.lrp.attn import AttnPropagation
from engine.lrp.relevances import Relevances
from engine.methods.direct import Direct, DirectMethod, Subject
from engine.targets import Target


class AttnLRP(DirectMethod):
    """LRP with rules for attention: Taylor rule for softmax, halves for products, layer norm with its std held fixed.

    Achtibat et al., *AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers*, ICML 2024, section 3.
    It starts from the logit itself and goes down to the input of the first explained block; the relevance of a token is
    the sum over its features, signed. Prefix tokens, biases and position embeddings keep what reaches them.
    """

    name = "attn_lrp"
    paper = "Achtibat et al., ICML 2024"
    description = "LRP with attention-aware rules, down to the tokens of the first explained block; signed"
    needs_gradient = False

    def relevances(self, subject: Subject, targets: Sequence[Target]) -> list[Direct]:
        """One propagation per target over one tape."""
        blocks = subject.blocks()
        session = Relevances(
            subject.module,
            subject.adapter,
            subject.batch,
            subject.sites,
            tuple(blocks.values()),
            output=subject.output,
        )
        found = []
        for target in targets:
            inputs = session.of_blocks(target, AttnPropagation)
            tokens: dict[str, Tensor] = {}
            for stream, path in blocks.items():
                row = inputs[path].sum(dim=-1).flatten(1)
                tokens |= {m: row[:, first:last] for m, (first, last) in subject.ranges(stream).items()}
            found.append(Direct(tokens))
        return found
