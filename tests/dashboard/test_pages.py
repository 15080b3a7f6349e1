"""Every page through AppTest: what it shows, what its widgets change, and that nothing breaks it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.data import Run
from storage import Filter, SampleQuery, Store, queries
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE

PAGES = ["overview", "samples", "sample", "runs"]


def open_page(app: Any, store: Path, script: str, /, **params: Any) -> AppTest:
    test = app(store, **params).run()
    test.switch_page(f"app_pages/{script}.py")
    for name, value in params.items():  # a page switch clears the URL, as a link to a page does not
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def text_of(test: AppTest) -> str:
    kinds = (
        test.title,
        test.subheader,
        test.markdown,
        test.caption,
        test.text,
        test.info,
        test.warning,
        test.error,
        test.code,
    )
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def tiles(test: AppTest) -> list[str]:
    return [link.label for link in test.get("page_link") if "sample=" in str(link.proto.query_string)]


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("run", ["shapes-vit", "captions-clip"])
def test_a_page_renders_for_each_kind_of_run(app: Any, store: Path, page: str, run: str) -> None:
    test = open_page(app, store, page, v="1", run=run)
    assert test.selectbox(key="run").value == run
    assert not test.error


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_without_a_store_the_page_says_which_command_to_type(app: Any, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    test = app(tmp_path / folder).run()
    assert not test.exception
    assert "python -m jobs run" in text_of(test) and str(tmp_path / folder) in text_of(test)


def test_a_store_without_runs_says_so(app: Any, tmp_path: Path) -> None:
    Store.open(tmp_path / "store", create=True)
    test = app(tmp_path / "store").run()
    assert not test.exception and "no runs" in text_of(test)


def test_a_folder_that_is_no_store_is_one_clear_line(app: Any, tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("hello")
    test = app(tmp_path).run()
    assert not test.exception and "not a store" in test.error[0].value.replace("\\", "")


def test_a_store_of_a_newer_version_is_one_clear_line(app: Any, tmp_path: Path) -> None:
    Store.open(tmp_path / "store", create=True)
    header = next((tmp_path / "store").glob("store.json"))
    header.write_text(json.dumps({**json.loads(header.read_text()), "schema_version": 99}))
    test = app(tmp_path / "store").run()
    assert not test.exception and "newer" in test.error[0].value


def test_the_overview_counts_what_is_in_the_store(app: Any, store: Path) -> None:
    test = open_page(app, store, "overview", v="1", run="shapes-vit")
    numbers = {m.label: m.value for m in test.metric}
    assert (numbers["In the dataset"], numbers["Explained"], numbers["Failed"]) == ("200", "194", "6")
    right = sum(make_store.class_rows(s)[0]["correct"] for s in make_store.scenes(200)[:194])
    assert numbers["Accuracy"] == f"{right / 194:.1%}"


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        (["label", "in", ["ring"]], lambda r: r["label"] == "ring"),
        (["correct", "eq", False], lambda r: not r["correct"]),
        (["camera", "in", ["phone"]], lambda r: r["camera"] == "phone"),
        (["entropy", "between", [0, 0.88]], lambda r: r["entropy"] <= 0.88),
        (["uri", "contains", "ring/"], lambda r: r["label"] == "ring"),
    ],
)
def test_a_filter_in_the_url_shows_exactly_the_matching_samples(
    app: Any, store: Path, condition: list[Any], keep: Any
) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit", f=json.dumps(condition))
    wanted = sum(keep(make_store.class_rows(s)[0]) for s in make_store.scenes(200)[:194])
    assert f"**{wanted:,}** of 194" in text_of(test)
    assert len(tiles(test)) == min(24, wanted) and 0 < wanted < 194


def test_filter_widgets_change_the_gallery(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit", page="3")
    test.multiselect(key="filter_label").set_value(["ring"]).run()
    rings = sum(make_store.CLASSES[s.label] == "ring" for s in make_store.scenes(200)[:194])
    assert f"**{rings}** of 194" in text_of(test)
    assert all("ring" in name for name in tiles(test)), "page 3 gave way to page 1"
    test.button(key="chip_label").click().run()
    assert "**194** of 194" in text_of(test)
    assert not test.exception


def test_a_metadata_column_can_be_added_as_a_filter(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit")
    test.selectbox(key="add_filter").set_value("year").run()
    low, _ = test.slider(key="filter_year").value
    test.slider(key="filter_year").set_range(low, 2020).run()
    wanted = sum(make_store.class_rows(s)[0]["year"] == 2020 for s in make_store.scenes(200)[:194])
    assert f"**{wanted}** of 194" in text_of(test) and not test.exception


def test_no_match_says_what_to_do(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit", f=json.dumps(["uri", "contains", "nowhere"]))
    assert "No sample matches" in test.info[0].value
    test.button(key="clear_filters").click().run()
    assert len(tiles(test)) == 24


def test_a_page_behind_the_last_becomes_the_last(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit", page="999999999")
    assert len(tiles(test)) == 194 % 24 and not test.exception


def test_the_url_holds_every_value_once_something_was_changed(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", v="1", run="shapes-vit", sort="entropy", order="desc")
    assert set(test.query_params) == {"v", "run", "sort", "order"}, "a link that was opened stays as it is"
    test.selectbox(key="look_colors").set_value("magma").run()
    params = {name: test.query_params[name] for name in test.query_params}
    assert (params["sort"], params["order"], params["cmap"], params["target"]) == (
        "entropy",
        "desc",
        "magma",
        "predicted",
    )
    assert {"size", "page", "opacity", "mode", "modality"} <= set(params)


@pytest.mark.parametrize(
    "params",
    [
        {"run": "gone"},
        {"target": "nothing"},
        {"sort": "drop table"},
        {"page": "-5"},
        {"sample": "999999"},
        {"f": '["label","between",["a","b"]]'},
        {"f": '["no_such","eq",1]'},
        {"mode": "<script>"},
        {"v": "7"},
        {"f": '["score","between",[1e300,-1e300]]'},
        {"f": '["tokens","contains","x"]'},
        {"sort": "tokens"},
        {"sample": "196"},
        {"f": '["camera","in",["\'; DROP TABLE samples; --"]]'},
    ],
)
@pytest.mark.parametrize("page", ["samples", "sample"])
def test_a_bad_url_never_breaks_a_page(app: Any, store: Path, page: str, params: dict[str, str]) -> None:
    test = open_page(app, store, page, **{"v": "1", "run": "shapes-vit", **params})
    assert not test.exception


def test_what_a_link_cannot_show_is_said_once(app: Any, store: Path) -> None:
    test = app(store, v="1", run="shapes-vit", sort="nothing").run()  # the bare address leads on to the suspects
    assert test.title[0].value == "Suspects"
    assert any("nothing" in w.value for w in test.warning)
    assert not test.run().warning


def test_next_and_previous_follow_the_filter(app: Any, store: Path) -> None:
    rings = [s.number for s in make_store.scenes(200)[:194] if make_store.CLASSES[s.label] == "ring"]
    condition = json.dumps(["label", "in", ["ring"]])
    test = open_page(app, store, "sample", v="1", run="shapes-vit", sample=str(rings[0]), f=condition)
    assert test.button(key="previous").disabled
    test.button(key="next").click().run()
    assert test.title[0].value == f"Sample {rings[1]}" and f"2 of {len(rings)}" in text_of(test)
    test.button(key="previous").click().run()
    assert test.title[0].value == f"Sample {rings[0]}"


def test_a_sample_shows_all_its_values(app: Any, store: Path) -> None:
    test = open_page(app, store, "sample", v="1", run="shapes-vit", sample="5")
    row = make_store.class_rows(make_store.scenes(200)[5])[0]
    shown = {str(r["name"]): list(r) for table in test.dataframe for _, r in table.value.iterrows()}
    assert {"Camera", "Brightness", "Indoor", "Year", "Entropy", "Mask share", "File", "Score"} <= set(shown)
    assert row["camera"] in shown["Camera"] and f"{row['entropy']:.4g}" in shown["Entropy"]
    assert len(test.get("plotly_chart")) == 2, "predicted and label side by side"
    assert "Best classes: " in "".join(str(one.proto) for one in test.get("html"))


def test_a_skipped_sample_says_why(app: Any, store: Path) -> None:
    test = open_page(app, store, "sample", v="1", run="shapes-vit", sample="195")
    assert "skipped" in test.info[0].value


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_captions_stay_text(app: Any, store: Path, number: int) -> None:
    test = open_page(app, store, "sample", v="1", run="captions-clip", sample=str(number))
    body = "".join(h.value for h in test.html)
    assert "<script" not in body and "<img" not in body and body.count("<span") == len(HOSTILE[number].split()[:60])
    assert any(" ".join(HOSTILE[number].split())[:50] in t.value for t in test.text)


def test_runs_offers_the_command_to_go_on(app: Any, store: Path) -> None:
    test = open_page(app, store, "runs", v="1", run="captions-clip")
    assert any(c.value.startswith("python -m jobs run") and "--name captions-clip" in c.value for c in test.code)
    test = open_page(app, store, "runs", v="1", run="shapes-vit")
    assert not test.code or "jobs run" not in test.code[0].value
    reasons = test.dataframe[1].value
    assert int(reasons["n"].sum()) == 6 and "<b>hostile</b> **reason**" in set(reasons["reason"])


def test_pages_follow_a_running_job(app: Any, tmp_path: Path) -> None:
    growing = make_store.grow(tmp_path / "store", tmp_path / "data", seconds=0, parts=6)
    next(growing)
    test = open_page(app, tmp_path / "store", "runs")
    first = int(test.metric[0].value)
    for _ in range(4):
        next(growing)
    test.run()
    assert (first, int(test.metric[0].value)) == (8, 40) and not test.exception
    for page in PAGES:
        open_page(app, tmp_path / "store", page)
    assert list(growing) == [48]


def test_a_run_without_a_sample_says_what_to_do(app: Any, tmp_path: Path) -> None:
    record = make_store.record(tmp_path, 10, "classes", [])
    with Store.open(tmp_path / "store", create=True).writer("begun", record):
        for page in PAGES:
            test = open_page(app, tmp_path / "store", page)
            assert page == "runs" or "just begun" in test.info[0].value
    for page in PAGES[:3]:
        assert "No sample" in open_page(app, tmp_path / "store", page).info[0].value


def test_pages_load_no_torch(store: Path) -> None:
    """Ordinary pages must stay light: in a process of its own, where nothing else imported it."""
    script = f"""
import os, sys
os.environ["RELEVANCY_AUDIT_STORE"] = {str(store)!r}
sys.argv = ["app.py"]
from streamlit.testing.v1 import AppTest
test = AppTest.from_file("dashboard/app.py", default_timeout=60).run()
for page in {PAGES!r}:
    test.switch_page(f"app_pages/{{page}}.py").run()
    assert not test.exception, test.exception
found = {{"torch", "engine", "jobs", "timm", "transformers"}} & set(sys.modules)
assert not found, found
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_ticking_a_class_offers_its_samples(app: Any, store: Path) -> None:
    test = open_page(app, store, "overview", v="1", run="shapes-vit")
    test.session_state["classes"] = {"selection": {"rows": [3], "columns": [], "cells": []}}
    test.run()
    links = {link.label: link.proto.query_string for link in test.get("page_link") if " of ring" in link.label}
    assert len(links) == 2 and all("%22label%22" in query for query in links.values())
    assert "%22correct%22" in links["Wrong ones of ring"]


def test_a_run_that_cannot_be_read_does_not_hide_the_others(app: Any, store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store", ignore=shutil.ignore_patterns("cache"))
    (tmp_path / "store" / "runs" / "captions-clip" / "run.json").write_text("{ broken")
    test = open_page(app, tmp_path / "store", "runs")
    assert list(test.selectbox(key="run").options) == ["shapes-vit"]
    assert "unreadable" in set(test.dataframe[0].value["state"])
    shutil.rmtree(tmp_path / "store" / "runs" / "shapes-vit")
    test = app(tmp_path / "store").run()
    assert not test.exception and "captions" in test.error[0].value.replace("\\", "")


def test_queries_from_many_threads_give_the_right_rows(store: Path) -> None:
    """The reader is shared by all sessions; a shared connection would mix up rows."""
    run = Run.open(store, "shapes-vit")
    wanted = {make_store.CLASSES[i]: 0 for i in range(6)}
    for scene in make_store.scenes(200)[:194]:
        wanted[make_store.CLASSES[scene.label]] += 1

    def ask(i: int) -> bool:
        label = make_store.CLASSES[i % 6]
        query = SampleQuery("predicted", filters=(Filter("label", "eq", label),), sort="entropy")
        rows = queries.page(run.reader, query, 1, 200)  # past the cache of the pages
        return queries.count(run.reader, query) == len(rows) == wanted[label] and {r["label"] for r in rows} == {label}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(120)))
