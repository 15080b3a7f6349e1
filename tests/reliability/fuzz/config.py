"""Folders of models whose configurations say something else than their weights."""

from __future__ import annotations

import json
import shutil
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st
from model_folders import hf_clip_folder, hf_vit_folder, open_clip_folder, timm_folder

import engine
from engine.errors import EngineError
from tests.reliability.fuzz.mutating import damaged, few_edits, json_edits, rewritten
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried

NAMES = ["ant", "bee", "cat"]
MAKERS = {
    "timm": lambda folder: timm_folder(folder, NAMES),
    "vit": lambda folder: hf_vit_folder(folder, NAMES),
    "clip": hf_clip_folder,
    "open_clip": open_clip_folder,
}


@cache
def whole(kind: str) -> Path:
    """A folder that loads."""
    return MAKERS[kind](scratch("config_whole") / kind)


@cache
def copied(kind: str) -> Path:
    """The copy that is changed and mended again."""
    return Path(shutil.copytree(whole(kind), scratch("config") / kind))


@cache
def documents(kind: str) -> list[str]:
    """The names of its JSON files; tokenizers are large and told by one."""
    return sorted(path.name for path in whole(kind).iterdir() if path.suffix == ".json")


def _strategy() -> Any:
    of = {kind: st.sampled_from(documents(kind)) for kind in MAKERS}
    kinds = st.sampled_from(sorted(MAKERS))
    changed = kinds.flatmap(lambda kind: st.tuples(st.just("json"), st.just(kind), of[kind], json_edits))
    broken = kinds.flatmap(lambda kind: st.tuples(st.just("bytes"), st.just(kind), of[kind], few_edits))
    gone = kinds.flatmap(lambda kind: st.tuples(st.just("gone"), st.just(kind), of[kind], st.just([])))
    return st.one_of(changed, changed, changed, broken, gone)


def check(case: tuple[str, str, str, Any]) -> str:
    """Loading ends in an EngineError, or in a model that describes itself."""
    how, kind, name, changes = case
    path, content = copied(kind) / name, (whole(kind) / name).read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "json":
        path.write_text(json.dumps(rewritten(json.loads(content), changes)))
    else:
        path.write_bytes(damaged(content, changes))
    try:
        return tried(lambda: _loaded(copied(kind)), EngineError)
    finally:
        path.write_bytes(content)


def _loaded(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = engine.load_model(str(folder))
    assert isinstance(loaded.model, torch.nn.Module)
    json.dumps(loaded.card())


TARGET = Target(
    "config",
    "configurations of timm, transformers and open_clip model folders (engine/models/loading.py)",
    _strategy,
    check,
    share=0.75,
    quick=6,
    pinned=(("gone", "open_clip", "tokenizer_config.json", []),),
)
