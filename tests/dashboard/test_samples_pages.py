"""Samples, Sample and Overview: everything that narrows, tags, saved views, SQL, clicks on charts, similar samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.samples import clicks
from storage import Filter, Reviews, SampleQuery, Store, queries
from tests.dashboard import samples_store
from tests.dashboard.make_store import CLASSES, HOSTILE, class_rows, scenes
from tests.dashboard.samples_store import RUN, N
from tests.dashboard.test_pages import open_page, text_of, tiles

TAGS = [text[:60].strip() for text in HOSTILE]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples_store.write(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def own(written: Path, tmp_path: Path) -> Path:
    """A store of a test's own, to write reviews to."""
    return Path(shutil.copytree(written, tmp_path / "store", ignore=shutil.ignore_patterns("cache", "reviews*")))


def opened(app: Any, store: Path, script: str, name: str = "Ann", /, **params: Any) -> AppTest:
    """A page as a person with a name sees it."""
    test = app(store, v="1", run=RUN, **params)
    test.session_state["person_name"] = name
    test.run()
    test.switch_page(f"app_pages/{script}.py")
    for key, value in {"v": "1", "run": RUN, **params}.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def shown(test: AppTest) -> int:
    """How many samples the Samples page says match."""
    line = next(item.value for item in test.markdown if " of " in item.value and item.value.startswith("**"))
    return int(line.split("**")[1].replace(",", ""))


def labels(test: AppTest, start: str) -> list[str]:
    return [button.label for button in test.button if (button.key or "").startswith(start)]


def test_everything_that_narrows_is_a_chip_that_can_be_removed(app: Any, own: Path) -> None:
    Reviews.open(own).tag(RUN, range(0, 20), "seen", "Ann")
    params = {
        "q": "png",
        "tag": "seen",
        "sql": "SELECT sample_id FROM samples WHERE sample_id < 15",
        "f": json.dumps(["sample_id", "between", [3, 99]]),
    }
    test = opened(app, own, "samples", **params)
    assert shown(test) == 12
    for key, left in (("narrow_sql", 17), ("narrow_tag_0", 27), ("narrow_search", 27)):
        test.button(key=key).click().run()
        assert shown(test) == left, key
    test.text_input(key=next(t.key for t in test.text_input if t.label == "Search")).set_value("nothing such").run()
    assert "No sample matches" in test.info[0].value
    test.button(key="clear_filters").click().run()
    assert shown(test) == N and not labels(test, "narrow") and not labels(test, "chip")


@pytest.mark.parametrize("page", ["samples", "sample", "overview"])
def test_all_pages_show_what_narrows_them(app: Any, own: Path, page: str) -> None:
    for text in (HOSTILE[0], HOSTILE[3]):
        test = opened(app, own, page, q=text[:300], tag="a tag", sql="SELECT 1", members="gone")
        assert len(labels(test, "narrow_")) == 4
        said = " ".join(w.value for w in test.warning).replace("\\", "")
        assert "no suspect" in said and "no column 'sample_id'" in said
        test.button(key="clear_filters").click().run()
        assert not labels(test, "narrow_") and not test.warning and not test.exception


def test_members_of_a_suspect_narrow_the_samples(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", members=samples_store.SUSPECT["id"])
    assert shown(test) == 4 and labels(test, "narrow_members")[0].startswith("Members of suspect \\<script")
    test.button(key="narrow_members").click().run()
    assert shown(test) == N
    test = opened(app, own, "overview", members=samples_store.SUSPECT["id"])
    assert "the 4 of 30" in text_of(test)


def test_search_finds_what_the_store_finds(app: Any, own: Path) -> None:
    test = opened(app, own, "samples")
    field = next(t for t in test.text_input if t.label == "Search")
    for text in ("ring", "RING png", HOSTILE[2][:40], "🙈", "%", "<script>"):
        field.set_value(text).run()
        wanted = queries.count(Store.open(own).reader(RUN), SampleQuery("predicted", search=text))
        found = shown(test)
        assert found == wanted and not test.exception, text
        field = next(t for t in test.text_input if t.label == "Search")
    assert wanted > 0


@pytest.mark.parametrize("tag", TAGS)
def test_hostile_tags_are_given_shown_filtered_and_taken(app: Any, own: Path, tag: str) -> None:
    test = opened(app, own, "sample", sample="5")
    test.session_state["tag_to_give"] = tag
    test.run()
    test.button(key="tag_sample").click().run()
    assert Reviews.open(own).tagged(RUN, tag).tolist() == [5]
    assert "<" not in labels(test, "untag_")[0] or "\\<" in labels(test, "untag_")[0]
    filtered = opened(app, own, "samples", tag=tag)
    assert shown(filtered) == 1 and tag in filtered.multiselect(key="tags").value
    test.button(key="tag_sample").click().run()
    assert Reviews.open(own).tagged(RUN, tag).tolist() == [] and not test.exception


def test_who_has_no_name_cannot_tag_or_save(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", "")
    assert test.button(key="tag_many_add").disabled and test.button(key="save_view").disabled
    assert "Type your name" in text_of(test)


def test_many_samples_are_tagged_at_once(app: Any, own: Path) -> None:
    wrong = [s.number for s in scenes(N) if not class_rows(s)[0]["correct"]]
    test = opened(app, own, "samples", f=json.dumps(["correct", "eq", False]))
    test.session_state["tag_to_give"] = "wrong"
    test.run()
    test.button(key="tag_many_add").click().run()
    assert Reviews.open(own).tagged(RUN, "wrong").tolist() == wrong and wrong
    test.button(key="tag_many_remove").click().run()
    assert Reviews.open(own).tags(RUN) == {}


def test_ticked_samples_are_tagged_and_stay_ticked_from_page_to_page(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", only="open:select")
    boxes = [box for box in test.checkbox if box.label.startswith("Sample ")]
    assert len(boxes) == 24
    boxes[2].check().run()
    test.button(key="turn_right").click().run()
    test.button(key="pick_page").click().run()
    assert "**7** selected" in text_of(test) and shown(test) == N
    test.session_state["tag_to_give"] = "mine"
    test.run()
    test.button(key="tag_many_add").click().run()
    assert Reviews.open(own).tagged(RUN, "mine").tolist() == [2, *range(24, 30)]
    test.button(key="pick_none").click().run()
    assert "**0** selected" in text_of(test) and not any(box.value for box in test.checkbox)


@pytest.mark.parametrize("name", [text[:200] for text in HOSTILE])
def test_a_saved_view_opens_what_was_saved(app: Any, own: Path, name: str) -> None:
    condition = json.dumps(["label", "in", ["ring"]])
    test = opened(app, own, "samples", f=condition, sort="entropy", order="desc", q="png")
    test.text_input(key="view_name").set_value(name).run()
    test.button(key="save_view").click().run()
    (view,) = Reviews.open(own).views()
    assert (view.name, view.page, view.reviewer) == (name.strip(), "samples", "Ann")
    other = opened(app, own, "overview")
    (link,) = [link for link in other.get("page_link") if "sort=entropy" in str(link.proto.query_string)]
    params = parse_qs(str(link.proto.query_string))
    again = opened(app, own, "samples", **{key: value for key, value in params.items() if key not in ("v", "run")})
    assert shown(again) == shown(test) and tiles(again) == tiles(test)
    again.button(key=f"remove_view_{view.id}").click().run()
    assert Reviews.open(own).views() == [] and not again.exception


def test_a_view_of_no_page_is_not_offered(app: Any, own: Path) -> None:
    Reviews.open(own).save_view("bad", "../../etc/passwd", "", "Eve")
    test = opened(app, own, "samples")
    assert not labels(test, "remove_view")


def test_sql_runs_and_becomes_a_filter(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", only="open:sql")
    text = "SELECT sample_id, text FROM samples WHERE sample_id % 7 = 3 ORDER BY sample_id"
    test.text_area(key="sql_text").set_value(text).run()
    test.button(key="sql_run").click().run()
    result = test.dataframe[-1].value
    assert [int(v) for v in result["sample_id"]] == [3, 10, 17, 24]
    test.button(key="sql_filter").click().run()
    assert shown(test) == 4 and test.query_params["sql"] == text
    assert test.button(key="sql_filter").disabled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("SELEC 1", "not understood"),
        ("DROP TABLE samples", "one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "only the tables of the run"),
        ("SELECT * FROM sample", "no table"),
        ("SELECT nothing FROM samples", "failed"),
        ("SELECT '<script>alert(1)</script>'::INTEGER", "failed"),
    ],
)
def test_a_bad_query_is_one_clear_line(app: Any, own: Path, text: str, said: str) -> None:
    test = opened(app, own, "samples", only="open:sql")
    test.text_area(key="sql_text").set_value(text).run()
    test.button(key="sql_run").click().run()
    (error,) = test.error
    assert said in error.value.replace("\\", "") and "\n" not in error.value and not labels(test, "sql_filter")


def test_the_examples_run(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", only="open:sql")
    for number in range(3):
        test.button(key=f"sql_example_{number}").click().run()
        assert not test.error and not test.exception, test.text_area(key="sql_text").value


def test_jumping_to_a_sample_opens_its_page(app: Any, own: Path) -> None:
    test = opened(app, own, "samples", sort="entropy")
    test.number_input(key="jump_sample").set_value(28).run()
    order = queries.ids(Store.open(own).reader(RUN), SampleQuery("predicted", sort="entropy")).tolist()
    assert test.query_params["page"] == "2" and len(tiles(test)) == 6
    test = opened(app, own, "sample", sort="entropy", sample=str(order[0]))
    test.number_input(key="goto_position").set_value(28).run()
    assert test.title[0].value == f"Sample {order[27]}" and "28 of 30" in text_of(test)
    test.button(key="previous").click().run()
    assert test.title[0].value == f"Sample {order[26]}"


def test_clicks_mean_a_filter_or_nothing() -> None:
    bins = [{"low": 0.0, "high": 0.5, "n": 2, "first": 0.1, "last": 0.4}, {"low": 0.5, "high": 1.0, "n": 0}]
    rows = [{"label": a, "predicted": b, "n": 1} for a, b in (("a", "a"), ("a", "<b>"), ("<b>", "<b>"))]

    def click(**point: Any) -> dict[str, Any]:
        return {"selection": {"points": [point]}}

    assert clicks.bar(click(point_index=0), bins, "score") == Filter("score", "between", (0.1, 0.4))
    assert clicks.cell(click(x=0, y=1), rows) == (Filter("label", "in", ("a",)), Filter("predicted", "in", ("<b>",)))
    for event in (None, {}, {"selection": {"points": []}}, click(), click(point_index=9), click(point_index=1)):
        assert clicks.bar(event, bins, "score") is None
    for event in (None, {}, click(), click(x=7, y=0), click(x="a", y="b")):
        assert clicks.cell(event, rows) is None


def test_similar_samples_are_shown_where_there_are_features(app: Any, own: Path, store: Path) -> None:
    test = opened(app, own, "sample", sample="12", only="open:similar")
    values = [c.value for c in test.caption if c.value.startswith("similarity")]
    table = np.stack([samples_store.features(i) for i in range(N)])
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    wanted = sorted((float(unit[i] @ unit[12]) for i in range(N) if i != 12), reverse=True)[:12]
    assert values == [f"similarity {value:.3f}" for value in wanted]
    closed = opened(app, own, "sample", sample="12")
    assert not [c for c in closed.caption if c.value.startswith("similarity")]
    without = open_page(app, store, "sample", v="1", run="shapes-vit", sample="12", only="open:similar")
    assert not [e for e in without.expander if e.label == "Similar samples"]


def test_the_overview_counts_what_matches(app: Any, own: Path) -> None:
    rings = [class_rows(s)[0] for s in scenes(N) if CLASSES[s.label] == "ring"]
    test = opened(app, own, "overview", f=json.dumps(["label", "in", ["ring"]]))
    numbers = {m.label: m.value for m in test.metric}
    assert numbers["Explained"] == str(N)
    assert numbers["Accuracy"] == f"{sum(r['correct'] for r in rings) / len(rings):.1%}"
    none = opened(app, own, "overview", q="nothing such")
    assert "No sample matches" in none.info[0].value
