"""The one place where the kernel of the streamed backward is chosen."""

from __future__ import annotations

import importlib.util
import os
import warnings
from functools import cache, partial

import torch
from torch import Tensor

from engine.capture.fused import FusedCall
from engine.capture.kernel import AttentionOperands, Fold, MapBlock, fold_backward
from engine.capture.row_fold import RowFold
from engine.errors import EngineError, UnknownName

KERNELS = ("auto", "plain", "triton")
VARIABLE = "RELEVANCY_AUDIT_KERNEL"
"""Environment variable that forces one of ``KERNELS``."""
HALF = (torch.bfloat16, torch.float16)
WIDEST_HEAD = 128
"""Wider heads would not fit beside their tiles into the registers of a multiprocessor."""
TRIAL_TOKENS = 70
ROW_TOLERANCE = 1e-5
"""Of the peak: a product of two numbers of 16 bits is exact in float32, where all sums are made."""


def attention_backward(
    operands: AttentionOperands,
    d_out: Tensor,
    fold: Fold | None,
    need_grads: bool,
    gain: float = 1.0,
    kernel: str | None = None,
    fused: FusedCall | None = None,
) -> tuple[Tensor | None, ...]:
    """Fold A and dA of a call and return the gradients of q, k and v; see :func:`fold_backward` for the arguments.

    Args:
        kernel: one of ``KERNELS``; None asks the environment variable, then takes "auto": Triton on CUDA in half
            precision, for folds that are described by their data; the plain chunks everywhere else.
        fused: the same call by the library's kernel, whose backward then gives the gradients.

    Raises:
        EngineError: an unknown kernel, or Triton is forced where it cannot run.
    """
    if isinstance(fold, RowFold) and _wants_triton(operands, kernel or os.environ.get(VARIABLE, "auto")):
        from engine.capture.triton_kernel import add_row

        add_row(operands, d_out, fold, gain, None if fused is None else fused.sums())
        fold = None
    apart, ours = fold is None or isinstance(fold, RowFold), need_grads and fused is None
    found = fold_backward(operands, d_out, fold, ours, gain, heads_apart=apart)
    return fused.gradients(d_out) if need_grads and fused is not None else found


def _wants_triton(operands: AttentionOperands, kernel: str) -> bool:
    if kernel not in KERNELS:
        raise UnknownName("kernel", kernel, KERNELS)
    if kernel == "plain" or (kernel == "auto" and operands.q.dtype not in HALF):
        return False
    reason = _obstacle(operands)
    if kernel == "triton" and reason is not None:
        raise EngineError(f"kernel 'triton' cannot be used: {reason}; 'plain' always works")
    return reason is None


def _obstacle(operands: AttentionOperands) -> str | None:
    """Why Triton cannot take a call, or None."""
    q, width = operands.q, max(operands.q.shape[-1], operands.v.shape[-1])
    if not has_triton():
        return "the package triton is not installed"
    if q.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"the tensors are on {q.device.type}, it needs cuda"
    if q.dtype not in (torch.float32, *HALF):
        return f"it has no {q.dtype}"
    if width > WIDEST_HEAD:
        return f"a head of {width} numbers is wider than {WIDEST_HEAD}"
    return trial(q.device, q.dtype, width, operands.bias is not None)


@cache
def has_triton() -> bool:
    """Whether the package is there; it is imported when it is first used."""
    return importlib.util.find_spec("triton") is not None


@cache
def trial(device: torch.device, dtype: torch.dtype, width: int, biased: bool) -> str | None:
    """Why Triton is not to be trusted on a device, or None: once per process it does a small call beside the plain way.

    A missing driver or compiler, or a GPU that the kernel was never tried on, must not cost a run or change a map.
    """
    from engine.capture.triton_kernel import add_row

    random = torch.Generator().manual_seed(0)
    shape = (2, 3, TRIAL_TOKENS, width)
    q, k, v, d_out = (torch.randn(shape, generator=random).to(device, dtype) for _ in range(4))
    bias = torch.randn(1, 3, TRIAL_TOKENS, TRIAL_TOKENS, generator=random).to(device, dtype) if biased else None
    operands = AttentionOperands(q, k, v, width**-0.5, bias)
    row = torch.rand(2, TRIAL_TOKENS, generator=random).to(device)
    found: list[Tensor] = []
    for way in (partial(fold_backward, need_grads=False), add_row):
        out = torch.zeros_like(row)
        try:
            way(operands, d_out, RowFold(row, out, partial(_add_clamped, row, out)))
        except Exception as error:  # whatever a compiler or a driver raises
            return _warned(f"it failed on {device} ({' '.join(str(error).split())[:200]})")
        found.append(out)
    return None if _near(found[1], found[0]) else _warned(f"it gives other numbers than 'plain' on {device}")


def _near(found: Tensor, wanted: Tensor) -> bool:
    """Whether the largest difference is below a share of the peak; NaN is not."""
    return bool((found - wanted).abs().max() <= ROW_TOLERANCE * wanted.abs().max())


def _add_clamped(row: Tensor, out: Tensor, samples: slice, block: MapBlock) -> None:
    weights = row[samples][:, None, None, block.rows].to(block.product.dtype)
    out[samples] += (weights @ block.product.clamp(min=0)).squeeze(2).mean(dim=1)


def _warned(reason: str) -> str:
    warnings.warn(f"kernel 'triton' is not used: {reason}; 'plain' takes its place", stacklevel=2)
    return reason
