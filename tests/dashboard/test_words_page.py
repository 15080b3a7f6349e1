"""The page of words: table, choices, samples of a word; for texts, pairs, and runs that lack things."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from dashboard.data import Run
from dashboard.wordlist import data
from dashboard.wordlist.marked import around, marked
from dashboard.words import Piece
from storage import SampleQuery
from tests import word_runs
from tests.dashboard.test_pages import open_page, text_of

N = 80


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("words")
    word_runs.write_pairs(base / "store", base / "pictures", "low", 25, low=True, percentile=False, evidence=False)
    word_runs.write_pairs(base / "store", base / "pictures", "pairs", 60)
    word_runs.write_texts(base / "store", "bare", 10, words=False)
    word_runs.write_texts(base / "store", "texts", N)
    return base / "store"


def table_of(test: Any) -> list[dict[str, Any]]:
    return test.dataframe[0].value.to_dict("records")  # type: ignore[no-any-return]


def html_of(test: Any) -> str:
    return "".join(str(block.proto.body) for block in test.get("html"))


def test_the_table_is_that_of_the_query_and_can_be_narrowed(app: Any, base: Path) -> None:
    run = Run.open(base, "texts")
    rows = data.table(run, SampleQuery("predicted", "text")).rows()
    test = open_page(app, base, "words", v="1", run="texts")
    assert [row["word"] for row in table_of(test)] == [row["word"] for row in rows]
    assert table_of(test)[0]["share"] == pytest.approx(100 * rows[0]["share"])
    test.selectbox(key="words_group").select("good").run()
    assert test.query_params["only"] == "wordgroup:good"
    assert table_of(test)[0]["word"] == "superb" and {row["group"] for row in table_of(test)} == {"good"}
    test.text_input(key="words_find").input("OAT").run()
    assert [row["word"] for row in table_of(test)] == ["boat"]
    test.number_input(key="words_least").set_value(N + 1).run()
    assert "No word passes" in text_of(test)


def test_a_ticked_word_is_in_the_link_and_shows_its_samples(app: Any, base: Path) -> None:
    test = open_page(app, base, "words", v="1", run="texts", only="wordgroup:good", word="SUPERB")
    have = [i for i in range(N) if word_runs.sentence(i)[0].startswith("Superb") and word_runs.sentence(i)[1] == "good"]
    told = text_of(test).replace("\\", "")
    assert "“SUPERB”" in told and f"{len(have)} samples that go with good have the word" in told
    assert html_of(test).count("<mark ") == 12 and ">Superb</mark>" in html_of(test)
    links = {one.proto.label: parse_qs(one.proto.query_string) for one in test.get("page_link")}
    (params,) = [params for label, params in links.items() if "whose text contains" in label]
    conditions = [json.loads(text) for text in params["f"]]
    assert conditions == [["predicted", "in", ["good"]], ["text", "contains", "SUPERB"]]
    test.button(key="word_close").click().run()
    assert "word" not in test.query_params and not html_of(test).count("<mark ")


@pytest.mark.parametrize("word", ["script", "DROP", "long", "🙈", "';--", "nowhere"])
def test_hostile_texts_and_words_are_text(app: Any, base: Path, word: str) -> None:
    test = open_page(app, base, "words", v="1", run="texts", word=word)
    html = html_of(test)
    assert "<script" not in html and "<img" not in html and "<b>" not in html
    assert ("No sample has this word" in text_of(test)) == (word in ("';--", "nowhere"))
    assert len(html) < 200_000


def test_pairs_go_with_the_ends_of_their_scores(app: Any, base: Path) -> None:
    test = open_page(app, base, "words", v="1", run="pairs", target="word-1", word="boat")
    assert {row["group"] for row in table_of(test)} <= {"highest tenth of the scores", "lowest tenth of the scores"}
    assert ">boat</mark>" in html_of(test) and len(test.image) == 12


def test_runs_that_lack_words_relevancy_or_texts(app: Any, base: Path, store: Path) -> None:
    assert "No words are stored" in text_of(open_page(app, base, "words", v="1", run="bare"))
    low = open_page(app, base, "words", v="1", run="low")
    assert "Nothing is predicted here" in text_of(low) and table_of(low)[0]["group"] is None
    assert "explains pictures only" in text_of(open_page(app, store, "words", v="1", run="shapes-vit"))
    assert "No words are stored" in text_of(open_page(app, store, "words", v="1", run="captions-clip"))


def test_the_marked_word() -> None:
    told = [Piece(f"w{k}", 0.1 * k, False) for k in range(100)]
    near = around(told, "W70", 5)
    assert [piece.text for piece in near][1:-1] == [f"w{k}" for k in range(65, 75)]
    html = marked([Piece("<i>", 1.0, True), Piece("&", None, True)], "<I>", "viridis")
    assert html.count("<mark ") == 1 and "&lt;i&gt;</mark>&amp;" in html and "<i>" not in html
