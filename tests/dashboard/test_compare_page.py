"""Compare and Runs through AppTest: another run is chosen, counted against the written rows, and listed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from storage import Store, parts_table
from tests.dashboard import make_store
from tests.dashboard.test_pages import open_page, text_of

N = 60


def changed_rows(scene: Any) -> list[dict[str, Any]]:
    """The rows of a scene as another model would give them: every fifth wrong, every third map upside down."""
    rows = make_store.class_rows(scene)
    for row in rows:
        if scene.number % 5 == 0:
            row |= {"predicted": make_store.HOSTILE[1], "correct": False}
        if scene.number % 3 == 0:
            row |= {"map": row["map"][::-1].copy(), "mask_share": 0.0}
    return rows


@pytest.fixture(scope="module")
def two(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic store with a second run of its pictures, newer than the first."""
    copy = tmp_path_factory.mktemp("compare") / "store"
    shutil.copytree(store, copy)
    root = Path(str(Store.open(copy).record("shapes-vit").dataset["root"]))
    record = make_store.record(root, 200, "classes", make_store.METADATA)
    record["spec"]["method"] = "rollout"
    with Store.open(copy).writer("second", record) as writer:
        rows = [row for scene in make_store.scenes(N) for row in changed_rows(scene)]
        writer.commit_part(0, parts_table(rows, make_store.METADATA))
        writer.finish()
    return copy


def expected() -> dict[str, int]:
    pairs = [(make_store.class_rows(s)[0], changed_rows(s)[0]) for s in make_store.scenes(N)]
    right = [(a, b) for a, b in pairs if a["correct"] and b["correct"]]
    return {
        "changed": sum(a["predicted"] != b["predicted"] for a, b in pairs),
        "wrong": sum(a["correct"] and not b["correct"] for a, b in pairs),
        "left": sum(a["mask_share"] - b["mask_share"] >= 0.2 for a, b in right),
    }


def compared(test: Any) -> list[str]:
    """Labels of the links to the samples of both runs."""
    return [link.label for link in test.get("page_link") if link.label.startswith(("A: ", "B: "))]


def test_the_numbers_are_those_of_the_rows(app: Any, two: Path) -> None:
    test = open_page(app, two, "compare", v="1", run="shapes-vit", other="second")
    assert not test.error
    numbers, wanted = {m.label: m.value for m in test.metric}, expected()
    assert (numbers["In both runs"], numbers["Predictions changed"]) == (str(N), str(wanted["changed"]))
    assert numbers["Left the object"] == str(wanted["left"]) and 0 < wanted["left"] < N
    assert "134 only in A" in text_of(test).replace("\\", "") and "The methods differ" in text_of(test)
    settings = test.dataframe[0].value
    assert settings.values.tolist() == [["method", "gae", "rollout"]]
    assert len(compared(test)) == 2 * 24


def test_lists_are_chosen_in_the_link_and_by_the_control(app: Any, two: Path) -> None:
    wanted = expected()
    test = open_page(app, two, "compare", v="1", run="shapes-vit", other="second", only="list:wrong")
    assert len(compared(test)) == 2 * min(24, wanted["wrong"]) > 0
    assert all("**" not in label.replace("\\*", "") for label in compared(test))  # the hostile class name
    test.pills(key="compare_list").set_value("left").run()
    assert not test.exception and len(compared(test)) == 2 * min(24, wanted["left"])
    assert "list:left" in test.query_params["only"]
    test.slider(key="compare_drop").set_value(90).run()
    assert not test.exception and "This list is empty" in text_of(test)


def test_the_other_run_of_the_dataset_is_taken_unasked_and_swapped(app: Any, two: Path) -> None:
    test = open_page(app, two, "compare", v="1", run="shapes-vit")
    assert test.selectbox(key="other").value == "second" and "second" in test.query_params["other"]
    test.button(key="swap").click().run()
    assert not test.exception
    (run,) = [box.value for box in test.selectbox if box.label == "Run"]
    assert run == "second" and "shapes-vit" in test.query_params["other"]


def test_filters_of_the_link_restrict_the_comparison(app: Any, two: Path) -> None:
    test = open_page(app, two, "compare", v="1", run="shapes-vit", other="second", f='["label","in",["ring"]]')
    rings = sum(make_store.CLASSES[s.label] == "ring" for s in make_store.scenes(N))
    assert {m.label: m.value for m in test.metric}["In both runs"] == str(rings)


def test_runs_of_other_data_are_refused_in_a_line(app: Any, two: Path) -> None:
    test = open_page(app, two, "compare", v="1", run="shapes-vit", other="captions-clip")
    assert not test.error and "no explained target in common" in text_of(test)


def test_a_single_run_says_how_to_make_a_second_one(app: Any, tmp_path: Path) -> None:
    make_store.write_classes(tmp_path / "store", tmp_path / "classes", n=12, failed=2)
    test = open_page(app, tmp_path / "store", "compare", v="1")
    said = text_of(test)
    assert "no other run" in said and "--method rollout" in said and "--name shapes-vit-rollout" in said


def test_the_runs_page_tells_and_opens_suspects(app: Any, two: Path) -> None:
    from storage import write_suspects
    from tests.storage.test_suspects import ROW

    write_suspects(Store.open(two).layout_of("second"), [ROW, {**ROW, "id": "b", "flagged": False}], {"done": True})
    test = open_page(app, two, "runs", v="1", run="second")
    said = "2 (2 verified, 1 probably spurious)"
    assert said in test.dataframe[0].value["suspects"].tolist()
    (link,) = [one for one in test.get("page_link") if one.label == f"Suspects: {said}"]
    assert "run=second" in link.proto.query_string
