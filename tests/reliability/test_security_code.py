"""Nothing that came with a model or a dataset runs as code: no pickle, and no Python file beside a model."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
import torch
from model_folders import CLASSES, bert_folder, hf_clip_folder, hf_vit_folder, open_clip_bert_folder, open_clip_folder
from model_folders import timm_folder as make_timm_folder

from engine import load_model
from engine.errors import EngineError
from engine.models.checkpoint import read_checkpoint
from jobs.cli import main
from jobs.errors import JobError
from jobs.extract.detector import make_detector
from jobs.readers import read_dataset
from jobs.regions import RegionError, read_regions

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine", "storage", "jobs", "dashboard", "benchmarks")
# modules that turn bytes into objects by running what the bytes say
FORBIDDEN_MODULES = {"joblib", "shelve", "marshal", "dill", "cloudpickle", "yaml", "pickletools", "code", "runpy"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {"read_pickle", "unsafe_load", "full_load", "load_module", "exec_module", "system", "popen"}
LOADERS = {"from_pretrained"}  # of transformers: each call must say whether code beside the model may run


class Payload:
    """Unpickling it creates a file."""

    def __init__(self, trace: Path) -> None:
        self.trace = str(trace)

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (self.trace, "w"))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


def test_the_payload_works(trace: Path) -> None:
    pickle.loads(pickle.dumps(Payload(trace))).close()
    assert trace.exists(), "else no test below could fail"


# ---- the source ----------------------------------------------------------------------------------------------------


def calls(file: Path) -> list[tuple[str, ast.Call]]:
    """Every call as `torch.load`, and its node."""
    return [(ast.unparse(n.func), n) for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]


def options(call: ast.Call) -> dict[str | None, Any]:
    return {o.arg: o.value.value if isinstance(o.value, ast.Constant) else o.value for o in call.keywords}


def faults(file: Path) -> list[str]:
    """What a file does that could run foreign bytes."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [f"imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
    for name, call in calls(file):
        last, given = name.rpartition(".")[2], options(call)
        if name in FORBIDDEN_CALLS or (last in FORBIDDEN_METHODS and "." in name):
            found.append(f"calls {name}")
        if name.startswith(("pickle.", "_pickle.", "cPickle.")) or last == "Unpickler":
            found.append(f"calls {name}")
        if name == "torch.load" and given.get("weights_only") is not True:
            found.append("torch.load without weights_only=True")
        if name == "torch.jit.load":
            found.append("torch.jit.load")
        if name in ("np.load", "numpy.load") and given.get("allow_pickle", False) is not False:
            found.append(f"{name} with allow_pickle")
        if given.get("shell", False) is not False:
            found.append(f"{name} with shell")
        if "trust_remote_code" in given and given["trust_remote_code"] is not False:
            found.append(f"{name} with trust_remote_code")
        if last in LOADERS and ".Auto" in name and given.get("trust_remote_code") is not False:
            found.append(f"{name} without trust_remote_code=False")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_no_source_file_can_run_foreign_bytes(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert {str(file.relative_to(ROOT)): found for file in files if (found := faults(file))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "torch.load(f, weights_only=flag)",
        "pickle.load(f)",
        "pickle.Unpickler(f).load()",
        "np.load(f, allow_pickle=True)",
        "pd.read_pickle(f)",
        "import joblib",
        "from shelve import open",
        "import yaml",
        "eval(x)",
        "os.system(x)",
        "subprocess.run(x, shell=True)",
        "transformers.AutoModel.from_pretrained(x)",
        "transformers.AutoModel.from_pretrained(x, trust_remote_code=True)",
        "torch.jit.load(f)",
    ],
)
def test_the_check_finds(line: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(line)
    assert faults(tmp_path / "x.py")


# ---- weights -------------------------------------------------------------------------------------------------------

Write = Callable[[Path, Payload], None]
FORMS: dict[str, Write] = {
    "zip": lambda file, payload: torch.save({"w": payload}, file),
    "legacy": lambda file, payload: torch.save({"w": payload}, file, _use_new_zipfile_serialization=False),
    "pickle": lambda file, payload: file.write_bytes(pickle.dumps({"w": payload})),
    "pickle 0": lambda file, payload: file.write_bytes(pickle.dumps({"w": payload}, protocol=0)),
}
FOLDERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "timm": (make_timm_folder, "pytorch_model.bin"),
    "open_clip": (open_clip_folder, "open_clip_pytorch_model.bin"),
    "transformers": (lambda folder: hf_vit_folder(folder, CLASSES), "pytorch_model.bin"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, (make, _) in FOLDERS.items()}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("library", FOLDERS)
def test_pickled_weights_in_a_model_folder_are_not_run(library, form, folders, tmp_path, trace) -> None:
    folder = shutil.copytree(folders[library], tmp_path / "model")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    FORMS[form](folder / FOLDERS[library][1], Payload(trace))
    with pytest.raises(EngineError, match="cannot load"):
        load_model(str(folder))
    assert not trace.exists()


def test_a_shard_that_an_index_names_is_not_run(folders, tmp_path, trace) -> None:
    folder = shutil.copytree(folders["transformers"], tmp_path / "model")
    for file in folder.glob("*.safetensors"):
        file.unlink()
    torch.save({"w": Payload(trace)}, folder / "part.bin")
    index = {"metadata": {}, "weight_map": {"w": "part.bin", "classifier.weight": "part.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(EngineError, match="cannot load"):
        load_model(str(folder))
    assert not trace.exists()


@pytest.mark.parametrize("library", FOLDERS)
def test_safetensors_win_over_a_pickle_beside_them(library, folders, tmp_path, trace) -> None:
    folder = shutil.copytree(folders[library], tmp_path / "model")
    torch.save({"w": Payload(trace)}, folder / FOLDERS[library][1])
    assert load_model(str(folder)).num_classes or library == "open_clip"
    assert not trace.exists()


@pytest.mark.parametrize("form", FORMS)
def test_checkpoints_are_not_run(form, folders, tmp_path, trace) -> None:
    for ending in (".pt", ".pth", ".bin", ".safetensors", ""):
        file = tmp_path / f"weights{ending}"
        FORMS[form](file, Payload(trace))
        with pytest.raises(EngineError, match="cannot read checkpoint"):
            read_checkpoint(file)
    for library in FOLDERS:
        with pytest.raises(EngineError, match="cannot read checkpoint"):
            load_model(str(folders[library]), checkpoint=tmp_path / "weights.pt")
    for detector in ("torchvision:fasterrcnn_resnet50_fpn", f"hf:{folders['transformers']}"):
        with pytest.raises((EngineError, JobError)):
            make_detector(detector, checkpoint=str(tmp_path / "weights.pt"), device="cpu")
    assert not trace.exists()


def test_the_command_says_so_in_one_line(folders, tmp_path, trace, capsys) -> None:
    torch.save({"w": Payload(trace)}, tmp_path / "bomb.pt")
    (tmp_path / "a.csv").write_text("image\nx.png\n")
    model, weights = f"timm:local-dir:{folders['timm']}", str(tmp_path / "bomb.pt")
    arguments = ["run", "--data", str(tmp_path / "a.csv"), "--model", model, "--checkpoint", weights]
    assert main([*arguments, "--store", str(tmp_path / "store")]) == 2
    said = capsys.readouterr().err
    assert "pickled objects are never run" in said and said.count("\n") == 1
    assert not trace.exists()


# ---- code beside a model -------------------------------------------------------------------------------------------


def with_code(folder: Path, trace: Path, file: str, auto_map: dict[str, Any], **changes: Any) -> Path:
    """Put evil.py into a model's folder, and point a configuration file at it."""
    (folder / "evil.py").write_text(
        f"open({str(trace)!r}, 'w').close()\n"
        "from transformers import PreTrainedTokenizerFast, ViTConfig, ViTImageProcessor, ViTForImageClassification\n"
        "class Tok(PreTrainedTokenizerFast): pass\n"
        "class Config(ViTConfig): pass\n"
        "class Proc(ViTImageProcessor): pass\n"
        "class Model(ViTForImageClassification): pass\n"
    )
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, "auto_map": auto_map, "trust_remote_code": True, **changes}))
    return folder


MODEL = {"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"}


def test_code_that_a_configuration_names_is_not_run(tmp_path, trace) -> None:
    known = with_code(hf_vit_folder(tmp_path / "known", CLASSES), trace, "config.json", MODEL)
    assert load_model(str(known)).num_classes == len(CLASSES), "the library's own class is taken"
    foreign = with_code(hf_vit_folder(tmp_path / "foreign", CLASSES), trace, "config.json", MODEL, model_type="evil")
    with pytest.raises(EngineError, match="custom code"):
        load_model(str(foreign))
    assert not trace.exists()


def test_code_of_a_processor_or_a_tokenizer_is_not_run(tmp_path, trace) -> None:
    sees = hf_vit_folder(tmp_path / "sees", CLASSES)
    with_code(sees, trace, "preprocessor_config.json", {"AutoImageProcessor": "evil.Proc"}, image_processor_type="Evil")
    with pytest.raises(EngineError, match="custom code"):
        load_model(str(sees))
    for make in (hf_clip_folder, bert_folder):
        reads = make(tmp_path / make.__name__)
        with_code(reads, trace, "tokenizer_config.json", {"AutoTokenizer": [None, "evil.Tok"]}, tokenizer_class="Evil")
        try:
            load_model(str(reads))  # the library may know a tokenizer of its own for this kind of model
        except EngineError as error:
            assert "custom code" in str(error)
    assert not trace.exists()


def test_open_clip_settings_cannot_allow_code(tmp_path, trace) -> None:
    """open_clip hands `tokenizer_kwargs` of a model's own configuration on to transformers: it could trust itself."""
    folder = open_clip_folder(tmp_path / "clip")
    code = {"AutoTokenizer": [None, "evil.Tok"]}
    with_code(folder, trace, "tokenizer_config.json", code, tokenizer_class="Evil")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["tokenizer_kwargs"]["trust_remote_code"] = True
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(EngineError, match="such code is never run"):
        load_model(str(folder))
    assert not trace.exists()

    import open_clip

    open_clip.get_tokenizer(f"local-dir:{folder}")  # afterwards, somebody who trusts it himself still can
    assert trace.exists()


def test_code_of_a_text_tower_is_not_run(tmp_path, trace, monkeypatch) -> None:
    folder = open_clip_bert_folder(tmp_path / "clip")
    code = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    with_code(folder / "roberta", trace, "config.json", code, model_type="evil")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # whatever somebody types
    with pytest.raises(EngineError):
        load_model(str(folder))
    assert not trace.exists()


def test_a_configuration_names_models_only(folders, tmp_path) -> None:
    folder = shutil.copytree(folders["transformers"], tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["pipeline"]}))
    with pytest.raises(EngineError, match="names no architecture"):
        load_model(str(folder))


# ---- data ----------------------------------------------------------------------------------------------------------


def test_features_are_not_unpickled(tmp_path, trace) -> None:
    bomb = np.array([Payload(trace)], object)
    np.savez(tmp_path / "a.npz", features=bomb, boxes=np.zeros((1, 4), np.float32))
    np.savez(tmp_path / "b.npz", features=np.zeros((1, 8), np.float32), boxes=bomb)
    np.save(tmp_path / "c.npz.npy", bomb, allow_pickle=True)
    (tmp_path / "c.npz.npy").rename(tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes(pickle.dumps(Payload(trace)))
    for name in ("a.npz", "b.npz", "c.npz", "d.npz"):
        with pytest.raises(RegionError, match="features unreadable"):
            read_regions(tmp_path, name, 8, None)
    assert not trace.exists()


def test_extension_types_of_arrow_are_not_unpickled(tmp_path, trace) -> None:
    """Earlier versions of Arrow kept the type of a column as a pickle in the metadata of a file."""
    kind = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Payload(trace))}
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    value = [{"bytes": b"x", "path": "x.png"}]
    schema = pa.schema([pa.field("image", struct, metadata=kind), pa.field("label", pa.string(), metadata=kind)])
    table = pa.table([pa.array(value, struct), pa.array(["a"])], schema=schema)
    pq.write_table(table, tmp_path / "a.parquet")
    saved = tmp_path / "saved"
    saved.mkdir()
    with pa.OSFile(str(saved / "data.arrow"), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(table)
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}], "_fingerprint": "f"}))
    for data in (tmp_path / "a.parquet", saved):
        try:
            assert len(read_dataset(data)) == 1
        except JobError as error:  # a type that is not known
            assert "cannot read" in str(error)
    assert not trace.exists()
