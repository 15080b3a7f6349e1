"""Compare a model before and after it was explained."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from engine.targets import Target

ORIGINAL = F.scaled_dot_product_attention


def snapshot(model):
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grads": [p.grad for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "fused": [getattr(m, "fused_attn", None) for m in model.modules()],
        "implementation": [getattr(getattr(m, "config", None), "_attn_implementation", None) for m in model.modules()],
    }


def assert_same(model, before):
    after = snapshot(model)
    assert all(torch.equal(after["state"][k], v) for k, v in before["state"].items())
    for key in before.keys() - {"state"}:
        assert after[key] == before[key], key
    assert F.scaled_dot_product_attention is ORIGINAL
    assert torch.backends.mha.get_fastpath_enabled()


class Failing(Target):
    name = "failing"

    def score(self, output):
        raise ZeroDivisionError("half way")
