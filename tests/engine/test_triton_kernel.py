"""The Triton kernel equals the plain one: interpreted on the CPU; and it compiles for GPUs, which need not be there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import zoo

from engine import explain
from engine.capture import backward, kernel
from engine.capture.row_fold import RowFold
from engine.errors import EngineError

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
CASES = (HERE / "interpreted_kernel.py").read_text().split("CASES:")[1].split("}\n\n")[0].count("shape")
pytestmark = pytest.mark.skipif(not backward.has_triton(), reason="triton is not installed")


def output_of(script: str, interpret: bool, tmp_path: Path) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, HERE.parent)))}
    environment |= {"TRITON_INTERPRET": str(int(interpret)), "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, HERE / script], env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_interpreted_it_equals_the_plain_kernel(tmp_path):
    found = output_of("interpreted_kernel.py", True, tmp_path)
    assert len(found) == CASES
    assert max(found.values()) < 1e-5, found  # whatever the model's format


@pytest.mark.slow
def test_interpreted_it_explains_whole_models(tmp_path):
    found = output_of("interpreted_models.py", True, tmp_path)
    assert found.keys() == {"vit_map_pool", "swin", "open_clip"}
    for model, (calls, error) in found.items():
        assert calls > 0 and error < 1e-5, model


@pytest.mark.slow
def test_it_compiles_for_gpus_and_fits_into_their_shared_memory(tmp_path):
    taken = output_of("compiled_kernel.py", False, tmp_path)
    assert len(taken) == 8
    assert max(taken.values()) <= 99 * 1024, taken  # what a consumer's GPU has


def operands(dtype=torch.float32, width=16):
    torch.manual_seed(0)
    q, k, v, d_out = (torch.randn(2, 2, 9, width).to(dtype) for _ in range(4))
    return kernel.AttentionOperands(q, k, v, 0.3, None), d_out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_on_a_cpu_the_plain_kernel_is_taken(dtype):
    call, d_out = operands(dtype)
    seen = []
    fold = RowFold(torch.rand(2, 9), torch.zeros(2, 9), lambda samples, block: seen.append(samples))
    backward.attention_backward(call, d_out, fold, need_grads=False)
    assert seen


def test_a_kernel_that_cannot_run_is_refused(monkeypatch):
    call, d_out = operands()
    fold = RowFold(torch.rand(2, 9), torch.zeros(2, 9), lambda *_: None)
    with pytest.raises(EngineError, match="kernel 'triton' cannot be used: the tensors are on cpu"):
        backward.attention_backward(call, d_out, fold, True, kernel="triton")
    with pytest.raises(EngineError, match="unknown kernel 'tritton'; did you mean 'triton'"):
        backward.attention_backward(call, d_out, fold, True, kernel="tritton")
    monkeypatch.setenv(backward.VARIABLE, "triton")
    with pytest.raises(EngineError, match="kernel 'triton' cannot be used"):
        explain(zoo.build("vit_cls"), zoo.inputs("vit_cls"))
    assert explain(zoo.build("vit_cls"), zoo.inputs("vit_cls"), method="grad_cam").relevancy  # another fold


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would not fail")
def test_a_trial_that_fails_leaves_the_plain_kernel():
    with pytest.warns(UserWarning, match="kernel 'triton' is not used: it failed on cpu .*'plain' takes its place"):
        assert "failed" in backward.trial(torch.device("cpu"), torch.float16, 16, False)
