"""Whatever a dataset, a model, a run or a reviewer is called: no page reads it as Markdown or HTML.

Every text that others give is one that would fetch a picture from another machine if it were read as Markdown, or be
slanted if it were read as HTML. All pages are drawn, and all that the server would send to a browser is looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from streamlit.testing.v1 import AppTest

from storage import Reviews, Store, parts_table, write_suspects
from tests.dashboard import make_store, samples_store

NAME = "![zz](http://evil.example)<i>zz</i>"
FILE = "![zz](x)<i>zz"
RUN, OTHER = "shown", "other"
PAGES = sorted(path.stem for path in (Path(__file__).parents[2] / "dashboard" / "app_pages").glob("*.py"))
NAMING = {"suspects", "evidence", "samples", "sample", "overview", "compare"}
METADATA = [entry | {"name": f"{entry['name']} {NAME}"} for entry in make_store.METADATA]
# Fields that a browser shows as they are. What is not named here could be read as Markdown.
AS_THEY_ARE = {
    "Text.body", "Selectbox.options", "Selectbox.raw_value", "MultiSelect.options", "MultiSelect.raw_values",
    "TextInput.default", "TextInput.value", "TextArea.default", "TextArea.value", "Code.code_text", "Image.alt",
    "ImageList.alt", "PlotlyChart.alt", "PlotlyChart.spec", "Html.body",  # the last two know HTML instead
}  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of which everything is called so, with suspects and reviews."""
    base = tmp_path_factory.mktemp("markup")
    root = base / FILE.replace("/", "_")
    scenes = make_store.scenes(12)
    for run in (OTHER, RUN):
        record = make_store.record(root, len(scenes), "classes", METADATA)
        record["model"] |= {"name": NAME, "class_names": [f"{NAME}{i}" for i in range(6)]}
        record["dataset"] |= {"kind": NAME, "class_names": record["model"]["class_names"]}
        record["spec"] |= {"model": f"timm:{NAME}", "method": NAME}
        record["versions"] = {NAME: NAME}
        with Store.open(base / "store", create=True).writer(run, record) as writer:
            rows = [row | _called(row) for two in samples_store.rows()[: len(scenes)] for row in two]
            failed = [{"sample_id": 99, "uri": FILE, "reason": NAME}]
            writer.commit_part(0, parts_table(rows, METADATA), failures=failed)
            writer.finish()
        suspect = samples_store.SUSPECT | {"name": NAME, "class_name": NAME}
        about: dict[str, Any] = {"notes": [NAME]}
        write_suspects(Store.open(base / "store").reader(run).run, [suspect], about)
    reviews = Reviews.open(base / "store")
    reviews.give_verdict(RUN, "concept-1", "spurious", NAME, NAME)
    reviews.give_verdict(RUN, "concept-1", "unsure", f"2 {NAME}", NAME)
    reviews.tag(RUN, [0, 1], NAME, NAME)
    reviews.save_view(NAME, "samples", "v=1", NAME)
    reviews.set_role(NAME, "reviewer", NAME)
    return base / "store"


def _called(row: dict[str, Any]) -> dict[str, Any]:
    names = {"label": f"{NAME}{row['label']}", "predicted": f"{NAME}{row['predicted']}", "text": NAME, "split": NAME}
    return names | {"camera": NAME, "uri": f"{FILE}_{row['sample_id']}.png"}


@pytest.mark.parametrize("page", PAGES)
def test_no_name_is_read_as_markdown_or_html(app: Any, hostile: Path, page: str) -> None:
    params = {"run": RUN, "other": OTHER, "sample": "0", "suspect": "concept-1", "members": "concept-1", "q": NAME[:9]}
    params |= {"tag": NAME, "f": f'["label","contains","{NAME}"]', "sql": f"SELECT '{NAME}'", "word": NAME}
    for given in ({"run": RUN}, {"run": RUN, "sample": "0", "suspect": "concept-1", "other": OTHER}, params):
        test = app(hostile, **given)
        if page != "home":
            test.switch_page(f"app_pages/{page}.py")
        test.run()
        assert not test.exception
        found = list(_sent(test))
        read = [(where, text) for where, text in found if "![zz]" in text and where not in AS_THEY_ARE]
        assert read == [], f"{read[0][0]} of {page} holds {read[0][1][:300]!r}"
        html = [text for where, text in found if where in ("Html.body", "PlotlyChart.spec")]
        assert [text[:300] for text in html if "<i>zz" in text.replace("\\u003c", "<").replace("\\u003e", ">")] == []
        if page in NAMING:
            assert any("zz" in text for _, text in found), "the page shows none of the names: the test looks at nothing"


def test_a_name_that_is_read_as_markdown_would_be_found() -> None:
    test = AppTest.from_string(f"import streamlit as st; st.button('a', help={NAME!r}); st.expander({NAME!r})").run()
    assert {where for where, text in _sent(test) if "![zz]" in text} == {"Button.help", "Expandable.label"}


def _sent(test: Any) -> Iterator[tuple[str, str]]:
    """(message and field, text) of all texts in the elements and containers of a page."""
    stack = [test._tree]
    while stack:
        node = stack.pop()
        stack += list(getattr(node, "children", {}).values())
        if isinstance(proto := getattr(node, "proto", None), Message):
            yield from _texts(proto)


def _texts(message: Message) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if isinstance(one, Message):
                yield from _texts(one)
            elif isinstance(one, str):
                yield f"{message.DESCRIPTOR.name}.{field.name}", one
