"""The page of CLIP scores: what it says, links to and draws, for rich and for poor runs; and captions typed live."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
import torch
from PIL import Image

from dashboard import live
from dashboard.data import Run
from dashboard.samples import clicks
from dashboard.scores import charts, pair, sentences
from dashboard.scores.hover import Layer, hover_picture
from dashboard.scores.panels import busiest
from dashboard.scores.shuffled import Shuffled
from dashboard.words import Piece
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Filter, SampleQuery
from tests import word_runs
from tests.dashboard import browser as chrome
from tests.dashboard.test_pages import open_page, text_of
from tests.jobs.conftest import write_manifest
from tests.model_folders import open_clip_folder

CAPTIONS = ["A red boat, on the sea", "<b>two</b> blue tree", "the house on the blue sea of a photo of the red boat"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of pairs: with all there is, with next to nothing, with scores of 0 alone; and a small one by a real job."""
    base = tmp_path_factory.mktemp("scores")
    store, pictures = base / "store", base / "pictures"
    word_runs.write_pairs(store, pictures, "low", 25, low=True, percentile=False, evidence=False, words=0)
    word_runs.write_pairs(store, pictures, "poor", 25, percentile=False, evidence=False, words=0)
    word_runs.write_pairs(store, pictures, "pairs", 60)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(base / f"{i}.png")
    rows = [{"image": f"{i}.png", "text": text} for i, text in enumerate(CAPTIONS)]
    data, model = write_manifest(base / "pairs.csv", rows), open_clip_folder(base / "model")
    spec = RunSpec(str(data), f"open_clip:local-dir:{model}", store=str(store), workers=0, device="cpu", name="live",
                   words=2)  # fmt: skip
    assert run_audit(spec).explained == 3
    torch.set_num_threads(threads)
    return store


def filters_of(test: Any, label: str) -> tuple[str, list[Any]]:
    """Where a link leads, and the filters in it."""
    (link,) = [one for one in test.get("page_link") if label in one.proto.label]
    params = parse_qs(link.proto.query_string)
    return link.proto.page, [json.loads(text) for text in params.get("f", [])]


def test_the_scores_in_words_and_in_links(app: Any, base: Path) -> None:
    test = open_page(app, base, "scores", v="1", run="pairs")
    told, scores = text_of(test), word_runs.scores(60)
    below = int((np.clip(scores / 2 * 100, 0, 100) < 50).sum())
    assert f"{below} of 60 pairs beat less than half of the shuffled pairs" in told.replace("\\", "")
    assert f"{int((scores == 0).sum())} of 60 pairs score 0" in told.replace("\\", "")
    page, conditions = filters_of(test, f"The {below} that beat less")
    assert page == "samples" and conditions == [["clip_percentile", "between", [0, 49.999]]]
    assert len([b for b in test.button if str(b.key).startswith("open_lowest_")]) == 6
    worst = sorted(range(60), key=lambda i: (scores[i], i))[:6]
    assert [b.key for b in test.button if str(b.key).startswith("open_lowest_")] == [f"open_lowest_{i}" for i in worst]
    mapped = min((i for i in range(60) if scores[i] > 0), key=lambda i: scores[i])  # a score of 0 has no map
    assert f"Pair {mapped}" in told and "Does deletion agree" in told and "Pairs with" not in told


def test_a_click_on_a_bar_finds_exactly_its_pairs(base: Path) -> None:
    run = Run.open(base, "pairs")
    low = Filter("score", "between", (0.0, 1.0))
    query = SampleQuery("clip-score", filters=(low,))
    bins = charts.widened(run.histogram(query, "score", 10), Shuffled.of(run.record.model))
    assert sum(b["n"] for b in bins) == run.count(query) and not bins[-1]["n"]  # shuffled pairs reach further
    for number, one in enumerate(bins):
        condition = clicks.bar({"selection": {"points": [{"point_index": number}]}}, bins, "score")
        assert (condition is None) == (one["n"] == 0)
        assert condition is None or run.count(SampleQuery("clip-score", filters=(low, condition))) == one["n"]


def test_choosing_a_pair_and_stepping_by_score(app: Any, base: Path) -> None:
    order = [int(i) for i in np.argsort(word_runs.scores(60), kind="stable")]
    test = open_page(app, base, "scores", v="1", run="pairs", sample=str(order[30]))
    assert f"Pair {order[30]}" in text_of(test) and "number 31 of 60" in text_of(test)
    test.button(key="pair_right").click().run()
    assert f"Pair {order[31]}" in text_of(test)
    test.button(key=f"open_lowest_{order[0]}").click().run()
    assert f"Pair {order[0]}" in text_of(test) and test.button(key="pair_left").disabled


@pytest.mark.parametrize("sample", range(len(word_runs.HOSTILE)))
def test_hostile_captions_are_text(app: Any, base: Path, sample: int) -> None:
    test = open_page(app, base, "scores", v="1", run="pairs", sample=str(sample))
    (html,) = [str(block.proto.body) for block in test.get("html") if 'class="stored"' in str(block.proto.body)]
    words, _, rest = html.partition('<div class="stored-stage">')
    assert unescape(re.sub(r"</?(?:div|span|button)[^>]*>", "", words)).startswith(word_runs.caption(sample)[:250])
    assert "<script" not in html and "<b>" not in html and "onerror=alert" not in re.sub(r"&[a-z]+;", "", rest)
    assert html.count("<button") == min(2, len(word_runs.places(word_runs.caption(sample))["words"]))


@pytest.mark.parametrize("run", ["poor", "low"])
def test_runs_that_lack_things_say_which_command_makes_them(app: Any, base: Path, run: str) -> None:
    told = text_of(open_page(app, base, "scores", v="1", run=run))
    assert "--words 3" in told and "--evidence" in told and "no scores of shuffled pairs" in told
    assert ("there are no tenths to compare" in told) == (run == "low")


def test_a_single_word_or_no_pairs(app: Any, base: Path, store: Path) -> None:
    assert "Shown is the score of whole captions" in text_of(
        open_page(app, base, "scores", v="1", run="pairs", target="word-1")
    )
    assert "This run has no image-text pairs" in text_of(open_page(app, store, "scores", v="1", run="shapes-vit"))
    condition = json.dumps(["score", "between", [50, 60]])
    assert "No pair matches" in text_of(open_page(app, base, "scores", v="1", run="pairs", f=condition))


def test_the_run_without_words_of_the_shared_store(app: Any, store: Path) -> None:
    told = text_of(open_page(app, store, "scores", v="1", run="captions-clip"))
    assert "The median pair scores" in told and "no maps of single words" in told


# -- another caption ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample", range(3))
def test_live_numbers_are_the_stored_ones(base: Path, sample: int) -> None:
    run = Run.open(base, "live")
    found = pair.pair_of(run, "clip-logit", sample)
    assert found is not None
    settings = live.Settings.of(run.record.spec, run.record.model, "clip-logit")
    result = live.explain(settings, run.root / str(found.sample["uri"]), CAPTIONS[sample], words=2)
    stored = run.maps([(sample, "clip-logit"), (sample, "word-1"), (sample, "word-2")], "image")
    assert result.score == pytest.approx(found.score["score"], abs=1e-4)
    assert np.allclose(result.image.ravel(), stored[sample, "clip-logit"], atol=1e-4)
    text = run.maps([(sample, "clip-logit")], "text")[sample, "clip-logit"]
    assert np.allclose(result.text[: len(text)], text, atol=1e-4)
    assert result.places["words"] == found.sample["words"]
    assert [result.places["words"][place] for place, _, _ in result.links] == [row["word"] for row in found.links]
    for (_, change, values), row in zip(result.links, found.links, strict=True):
        assert change == pytest.approx(row["score"], abs=1e-4)
        assert np.allclose(values.ravel(), stored[sample, row["target"]], atol=1e-4)


def test_typing_another_caption(app: Any, base: Path) -> None:
    test = open_page(app, base, "scores", v="1", run="live", sample="0")
    assert not test.metric
    test.text_input(key="live_caption").input("<b>a</b> blue tree on the sea").run()
    assert not test.metric  # nothing is computed before the button is pressed
    assert test.query_params["only"] == "caption:<b>a</b> blue tree on the sea"
    test.button(key="live_go").click().run(timeout=120)
    assert not test.exception and not test.warning and test.metric[0].label == "Score"
    (html,) = [str(b.proto.body) for b in test.get("html") if 'class="live"' in str(b.proto.body)]
    assert "&lt;b&gt;" not in html or "<b>" not in html  # words lie between tags of ours alone
    assert html.count("<button") >= 1  # the tiny model reads few words
    (typed,) = [one for one in test.text_input if one.label == "Caption"]
    typed.input("").run()
    test.button(key="live_go").click().run(timeout=120)
    stored = Run.open(base, "live").page(SampleQuery("clip-logit"), 1, 1)[0]["score"]
    assert (
        float(test.metric[0].value) == pytest.approx(stored, abs=1e-4) and not test.warning
    )  # the caption of the pair itself


def test_a_model_that_is_not_at_hand_is_one_line(app: Any, base: Path) -> None:
    test = open_page(app, base, "scores", v="1", run="pairs", sample="9")
    test.button(key="live_go").click().run(timeout=120)
    (said,) = [str(one.value) for one in test.info]
    assert not test.exception and "is not at hand" in said and "\n" not in said


# -- pure parts -----------------------------------------------------------------------------------------


def test_shuffled_pairs() -> None:
    quantiles = np.concatenate([np.zeros(501), np.linspace(0.002, 1, 500)])
    shuffled = Shuffled.of({"shuffled": {"shuffled": 9, "quantiles": quantiles.tolist()}})
    assert shuffled is not None and shuffled.percentile(0.0) == 0 and shuffled.percentile(2) == 100
    assert np.allclose(shuffled.shares([0, 0.001, 0.5, 1]).sum(), 1)
    assert shuffled.shares([0, 0.001, 0.5, 1])[0] == pytest.approx(501 / 1001)
    assert Shuffled.of({}) is None and Shuffled.of({"shuffled": {"quantiles": []}}) is None


def test_sentences() -> None:
    assert [sentences.percent(v) for v in (0, 97.4, 99.71, 99.999, 100)] == [
        "0 %", "97 %", "99.71 %", "99.99 %", "100 %"
    ]  # fmt: skip
    row = {"kind": "drop_word", "n": 20, "further": 0.75, "removed": [0, 0, 0.5, 1, 1], "random": [0, 0, 0.1, 1, 1]}
    assert "falls by 0.5, at random by 0.1; 75% of 20 pairs" in sentences.fall(row)
    assert busiest({"grid": (3, 3), "map": [0, 0, 1, 0, 0, 0, 0, 1, 6]}) == "most at the bottom right (75%)"


def test_which_place_a_stored_word_has() -> None:
    words, values = ["a", "boat", "and", "a", "tree"], [0.5, 0.2, 0.1, 0.9, 0.3]
    assert pair.numbers_of(words, values, ["a", "a", "tree"]) == [3, 0, 4]
    assert pair.numbers_of(words, values, ["tree", "sea", "a", "a", "a"]) == [4, None, 3, 0, None]


def test_the_component_escapes_everything() -> None:
    layer = Layer(b"x", "<i>caption</i>", '"><img src=x>')
    html = hover_picture(layer, [Piece("<u>", 1.0, True), Piece("&", None, True)], {0: layer}, "viridis", "p")
    assert "<i>" not in html and "<img src=x>" not in html and "<u>" not in html and "&lt;u&gt;</button>&amp;" in html


# -- in a browser ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if chrome.chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on this machine")
        pytest.skip("no chromium on this machine")
    with chrome.server(base, tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@pytest.mark.browser
def test_hovering_and_focusing_a_word_shows_its_map(chromium: Any, address: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1600})
    page = context.new_page()
    said = chrome.watch(page)
    page.goto(f"{address}/scores?v=1&run=pairs&sample=0")  # a caption that is a script
    chrome.settle(page, 120)
    words, shown = page.locator(".stored-w"), page.locator(".stored-l:visible")
    assert words.count() == 2 and shown.count() == 1 and "stored-base" in (shown.get_attribute("class") or "")
    for way in ("hover", "focus"):
        for k in range(2):
            word = words.nth(k)
            word.hover() if way == "hover" else word.focus()
            number = re.search(r"stored-w(\d+)", word.get_attribute("class") or "")
            assert number is not None and shown.count() == 1
            assert f"stored-l{number[1]}" in (shown.get_attribute("class") or "").split()
            assert f"“{word.inner_text()}”" in shown.inner_text() and shown.locator("img").is_visible()
        page.mouse.move(5, 5)
    assert not chrome.exceptions(page) and not said
    context.close()


@pytest.mark.browser
def test_clicking_a_bar_leads_to_its_samples(chromium: Any, address: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1600})
    page = context.new_page()
    page.goto(f"{address}/scores?v=1&run=pairs")
    chrome.settle(page, 120)
    bars = page.locator(".st-key-scores_0 .trace.bars >> nth=1 >> .point path").all()
    place = next(box for bar in bars if (box := bar.bounding_box()) and box["height"] > 9)  # not over an empty bin
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_url("**/samples?**", timeout=120_000)
    chrome.settle(page, 120)
    ((column, op, _),) = [json.loads(text) for text in parse_qs(page.url.partition("?")[2])["f"]]
    assert (column, op) == ("score", "between") and not chrome.exceptions(page)
    context.close()
