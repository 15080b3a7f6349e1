"""Selection and URL: every value survives the way there and back, and nothing in a URL is trusted."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest

from dashboard.overlays import Look
from dashboard.selection import MAX_FILTERS, NAMES, Selection, clip, fit, link, params_to_state, state_to_params
from storage import Filter
from tests.dashboard.make_store import HOSTILE

FULL = Selection(
    run="a run",
    target="class:Zoë & co",
    modality="text",
    filters=(
        Filter("label", "in", ("cat, dog", 'say "hi"', "a=b&c#d")),
        Filter("score", "between", (-0.125, 7)),
        Filter("correct", "eq", False),
        Filter("camera", "not_null", None),
    ),
    sort="entropy",
    descending=True,
    page=41,
    size=48,
    sample=123_456,
    look=Look("map", 35, "cividis"),
    suspect="concept-12",
    members="location-3",
    other="another run",
    word="naïve",
    search="two words",
    tags=("to do", "c'est ça"),
    sql="SELECT sample_id FROM samples WHERE label = 'a;b' -- all",
    only=("kind:concept", "verdict:"),
)


def there_and_back(state: Selection) -> tuple[Selection, list[str]]:
    query = link("http://host/samples", state).partition("?")[2]
    return params_to_state(parse_qs(query, keep_blank_values=True))


@pytest.mark.parametrize("state", [Selection(), FULL, Selection(run="r", sample=0)])
def test_a_link_restores_the_selection(state: Selection) -> None:
    assert there_and_back(state) == (state, [])


@pytest.mark.parametrize("text", [t[:400] for t in HOSTILE])
def test_hostile_text_survives_a_link_unchanged(text: str) -> None:
    words = {"run": text, "target": text, "sort": text, "search": text, "tags": (text,), "sql": text}
    state = Selection(filters=(Filter("text", "contains", text),), **words)
    assert there_and_back(state) == (state, [])


def test_every_chosen_value_is_written() -> None:
    assert set(state_to_params(FULL)) == NAMES
    assert {"v", "mode", "opacity", "cmap", "page", "size", "sort", "order", "modality"} <= set(
        state_to_params(Selection())
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "-1"),
        ("page", "9" * 40),
        ("page", "1e3"),
        ("size", "25"),
        ("size", "1000000"),
        ("opacity", "101"),
        ("mode", "javascript"),
        ("cmap", "jet"),
        ("order", "up"),
        ("modality", "sound"),
        ("sample", "1.5"),
        ("sample", "-3"),
        ("run", "x" * 401),
        ("sort", "a\x00b"),
        ("sql", "x" * 4001),
        ("tag", "x" * 401),
        ("only", "a\x00b"),
        ("q", "x" * 401),
    ],
)
def test_a_wrong_value_falls_back_and_is_reported(name: str, value: str) -> None:
    state, problems = params_to_state({name: [value]})
    assert state == Selection()
    assert len(problems) == 1 and name in problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "[1, 2, 3]",
        '["score", "between", [1]]',
        '["score", "drop", 1]',
        '["a", "eq", {"b": 1}]',
        '["a", "in", "text"]',
        '["a", "eq", NaN]',
        '["a", "eq", Infinity]',
        '["a", "between", [NaN, 1]]',
        '["a", "eq", null]',
        "[" * 5000,
        json.dumps(["x" * 401, "eq", 1]),
        json.dumps(["a", "in", ["x"] * 201]),
        '["a", "eq", "\\ud800"]',
    ],
)
def test_a_filter_that_is_none_is_dropped_and_reported(text: str) -> None:
    state, problems = params_to_state({"f": [text]})
    assert state.filters == ()
    assert len(problems) == 1 and len(problems[0]) < 200


def test_too_much_is_cut() -> None:
    many = [json.dumps([f"c{i}", "eq", i]) for i in range(MAX_FILTERS + 5)]
    state, problems = params_to_state({"f": many})
    assert len(state.filters) == MAX_FILTERS and "more than" in problems[0]
    state, problems = params_to_state({"run": ["x" * 20_000]})
    assert state == Selection() and "longer" in problems[0]


def test_one_filter_per_column_the_last_counts() -> None:
    state, _ = params_to_state({"f": ['["score","between",[0,1]]', '["score","between",[2,3]]']})
    assert state.filters == (Filter("score", "between", (2, 3)),)


def test_unknown_parameters_are_ignored() -> None:
    assert params_to_state({"utm_source": ["x"], "page": ["2"]}) == (Selection(page=2), [])


def test_a_link_of_another_version_says_so() -> None:
    _, problems = params_to_state({"v": ["2"]})
    assert "another version" in problems[0]


RUNS, TARGETS = ["new", "old"], {"predicted": ["image"], "clip-logit": ["image", "text"]}
COLUMNS = {"sample_id": "number", "score": "number", "label": "category", "correct": "bool", "text": "text"}


def test_fit_takes_the_newest_run_and_the_first_target_silently() -> None:
    state, problems = fit(Selection(), runs=RUNS, targets=TARGETS, columns=COLUMNS)
    assert (state.run, state.target, state.modality, problems) == ("new", "predicted", "image", [])


def test_fit_names_what_the_store_does_not_have() -> None:
    asked = Selection(
        run="gone", target="label", sort="nothing", descending=True, filters=(Filter("nothing", "eq", 1),)
    )
    state, problems = fit(asked, runs=RUNS, targets=TARGETS, columns=COLUMNS)
    assert (state.run, state.target, state.sort, state.descending, state.filters) == (
        "new",
        "predicted",
        "sample_id",
        False,
        (),
    )
    assert len(problems) == 4


def test_fit_keeps_the_modality_only_where_there_is_one() -> None:
    text = Selection(modality="text", target="clip-logit")
    assert fit(text, runs=RUNS, targets=TARGETS)[0].modality == "text"
    assert fit(Selection(modality="text", target="predicted"), runs=RUNS, targets=TARGETS)[0].modality == "image"


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        (Filter("score", "between", (0, 1)), True),
        (Filter("score", "between", ("a", "b")), False),
        (Filter("score", "contains", "1"), False),
        (Filter("label", "in", ("cat",)), True),
        (Filter("label", "between", ("a", "b")), False),
        (Filter("label", "eq", 3), False),
        (Filter("correct", "eq", True), True),
        (Filter("correct", "eq", "yes"), False),
        (Filter("correct", "between", (True, True)), False),
        (Filter("text", "contains", "x"), True),
        (Filter("text", "is_null", None), True),
    ],
)
def test_fit_keeps_filters_that_suit_their_column(condition: Filter, kept: bool) -> None:
    state, problems = fit(Selection(filters=(condition,)), runs=RUNS, targets=TARGETS, columns=COLUMNS)
    assert bool(state.filters) is kept and bool(problems) is not kept


def test_a_changed_filter_keeps_its_place_and_goes_to_page_one() -> None:
    before = Selection(filters=(Filter("a", "eq", 1), Filter("b", "eq", 2)), page=9)
    after = before.with_filter("a", Filter("a", "eq", 3))
    assert after.filters == (Filter("a", "eq", 3), Filter("b", "eq", 2)) and after.page == 1
    assert after.with_filter("a", None).filters == (Filter("b", "eq", 2),)


def test_clip_flattens_and_shortens() -> None:
    assert clip("a\n  b", 10) == "a b"
    assert clip("abcdefghij", 5) == "abcd…"


def test_choices_of_a_list_are_kept_by_group() -> None:
    state = Selection(page=3).with_only("kind", ["concept", "pair_word"]).with_only("status", ["verified"])
    assert state.chosen("kind") == ("concept", "pair_word") and state.chosen("status") == ("verified",)
    assert state.with_only("kind", []).only == ("status:verified",) and state.page == 1


def test_a_run_to_compare_with_that_is_gone_is_reported() -> None:
    state, problems = fit(Selection(run="a", other="b"), runs=["a", "c"])
    assert state.other == "" and len(problems) == 1 and "b" in problems[0]
    assert fit(Selection(run="a", other="c"), runs=["a", "c"]) == (Selection(run="a", other="c"), [])


def test_everything_restricts_nothing() -> None:
    assert FULL.narrowed and not FULL.everything().narrowed and FULL.everything().sort == FULL.sort
    assert not Selection(suspect="x", word="y", only=("kind:concept",)).narrowed
