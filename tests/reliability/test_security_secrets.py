"""Passwords and keys reach no log, record, page or JSON document: canaries go in, and are looked for afterwards."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from jobs.cli import main
from jobs.errors import JobError
from jobs.readers import read_dataset
from jobs.spec import RunSpec
from storage import Store, StoreError
from storage.media import MediaError, locate
from storage.media.secrets import has_key, has_password, shown, without_key
from tests.jobs.conftest import CLASSES, noise, save_vit
from tests.jobs.web import Web
from tests.jobs.web import served as serving

CANARY = "c4n4ry"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("https://ann:c4n4ry@host/x.csv", "https://***@host/x.csv"),
        ("see https://ann:c4n@4ry@host:8/x, please", "see https://***@host:8/x, please"),
        ("https://c4n4ry@host/x", "https://***@host/x"),
        ("s3://c4n4ry:c4n4ry@bucket/x", "s3://***@bucket/x"),
        ("postgresql+psycopg://ann:c4n4ry@db/x", "postgresql+psycopg://***@db/x"),
        ("https://h/x?token=c4n4ry&page=2", "https://h/x?token=***&page=2"),
        ("https://h/x?a=1&X-Amz-Signature=c4n4ry#y", "https://h/x?a=1&X-Amz-Signature=***#y"),
        ("https://h/x?sv=1&sig=c4n4ry'", "https://h/x?sv=1&sig=***'"),
        ("https://h/x?api_key=c4n4ry&AWSAccessKeyId=c4n4ry", "https://h/x?api_key=***&AWSAccessKeyId=***"),
        ('{"uri": "https://h/x?access_token=c4n4ry"}', '{"uri": "https://h/x?access_token=***"}'),
    ],
)
def test_what_is_hidden(address: str, told: str) -> None:
    assert shown(address) == told
    assert has_password(address) or has_key(address) or not address.startswith(("http", "s3"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a photo of a cat",
        "abfs://container@account.dfs.core.windows.net/x",
        "sftp://ann@host/x",
        "hf://datasets/user/repo@main/x.parquet",
        "https://host/x@2x.png",
        "https://host/x?page=2&size=3",
        "accuracy=0.5; key=value",
        "/home/ann@work/x.csv",
    ],
)
def test_what_stays(text: str) -> None:
    assert shown(text) == text and without_key(text) == text and not has_password(text)


# ---- a run ---------------------------------------------------------------------------------------------------------


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_clean(where: Any, content: bytes | str) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    at = data.find(CANARY.encode())
    assert at < 0, f"{where}: …{data[max(at - 80, 0) : at + 40]!r}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    """A manifest and its pictures behind a web server."""
    folder = tmp_path_factory.mktemp("web")
    for i in range(4):
        noise(folder / f"{i}.png", i)
    (folder / "rows.v1.csv").write_text("image\n0.png\n1.png\n2.png\nnone.png\n")
    with serving(Web(folder)) as web:
        yield web


@pytest.fixture(scope="module")
def ran(served: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, int, str, str]]]:
    """Everything that commands on a signed address said and wrote, in a process full of secrets."""
    base = tmp_path_factory.mktemp("ran")
    model = save_vit(base / "vit", CLASSES)
    data = f"{served.url}/rows.v1.csv?token={CANARY}&x=a.b/{CANARY}"
    said = []
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "STREAMLIT_SERVER_COOKIE_SECRET"):
            patch.setenv(name, CANARY)
        patch.setenv("RELEVANCY_AUDIT_REVIEWS", f"postgresql+psycopg://ann:{CANARY}@127.0.0.1:1/db")
        for command in (
            ["run", "--data", data, "--model", f"timm:local-dir:{model}", "--workers", "0", "--device", "cpu"],
            ["list"],
            ["status"],
            ["suspects", "--no-verify"],
            ["report", "--out", str(base / "report.html")],
        ):
            out, err = StringIO(), StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = main([*command, "--store", str(base / "store"), "--json", "--verbose"])
            said.append((command[0], code, out.getvalue(), err.getvalue()))
    return base, said


def test_commands_on_a_signed_address_write_it_nowhere(ran: Any) -> None:
    base, said = ran
    for command, code, out, err in said:
        assert code == 0, (command, out, err)
        assert_clean(command, out), assert_clean(command, err)
    document = json.loads(said[0][2])
    assert (document["explained"], document["failed"]) == (3, 1) and document["run"].startswith("rows.v1-vit")
    for path, content in files_of(base).items():
        assert_clean(path, content), assert_clean("name", str(path))


def test_the_pages_show_it_nowhere(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    base, _ = ran
    monkeypatch.setenv("RELEVANCY_AUDIT_STORE", str(base / "store"))
    monkeypatch.setenv("RELEVANCY_AUDIT_REVIEWS", f"postgresql+psycopg://ann:{CANARY}@127.0.0.1:1/db")
    monkeypatch.setattr("sys.argv", ["app.py"])
    run = Store.open(base / "store").run_ids()[0]
    for page in ("overview", "runs", "samples", "sample", "team", "report"):
        test = AppTest.from_file(str(ROOT / "dashboard" / "app.py"), default_timeout=60)
        test.query_params["run"] = run
        test.switch_page(f"app_pages/{page}.py")
        test.run()
        frames = "".join(frame.value.to_csv() for frame in test.dataframe)
        drawn = f"{test.main}{test.sidebar}{test.query_params}{frames}" + "".join(code.value for code in test.code)
        assert not test.exception and len(drawn) > 500, page
        assert "http://127.0.0.1" in drawn or page != "overview", "the settings of the run are drawn"
        assert_clean(page, drawn)


# ---- addresses that hold a password --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", [f"https://ann:{CANARY}@host/rows.csv", f"s3://key:{CANARY}@bucket/x", f"https://{CANARY}@host/a.tar"]
)
def test_they_are_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    for refuse in (
        lambda: read_dataset(address),
        lambda: Store.open(address, create=True),
        lambda: RunSpec("x", "y", allow_outside=(address,)).checked(),
        lambda: locate("/", address).open(),
        lambda: read_dataset(manifest(tmp_path, address)),
    ):
        with pytest.raises((JobError, StoreError, MediaError, OSError)) as caught:
            refuse()
        assert_clean("message", str(caught.value))


def manifest(folder: Path, *images: str) -> Path:
    (folder / "rows.csv").write_text("\n".join(["image", *images]))
    return folder / "rows.csv"


@pytest.mark.parametrize("address", [f"http://127.0.0.1:9/x.csv?token={CANARY}", f"nosuch://x/y.csv?token={CANARY}"])
def test_errors_do_not_repeat_keys(address: str, tmp_path: Path, capsys) -> None:
    assert main(["run", "--data", address, "--model", "timm:vit_tiny_patch16_224", "--store", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert_clean("stderr", said.err), assert_clean("stdout", said.out)
    with pytest.raises(JobError) as caught:
        read_dataset(address)
    assert_clean("message", str(caught.value))
