"""Image-text runs from the command to the store: shared towers, words, percentiles, evidence and embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engine import LoadedModel, explain_targets, load_model
from engine.interventions.fills import fill_blur
from jobs.demo.command import WEIGHTS
from jobs.pictures import decode
from jobs.spec import RunSpec, identity
from storage import RunReader, Store
from tests.jobs.conftest import noise, write_manifest
from tests.jobs.processes import Start, until
from tests.model_folders import FOLDERS

MODEL = f"open_clip:local-dir:{WEIGHTS / 'clip'}"
CAPTIONS = [
    "a boat on the sea",
    "a red car in front of a house",
    "two sheep under a tree",
    "a lamp beside a blue house",
    "a photo of a tree",
    "a car",
]
DROPS = ("drop_mean", "drop_mean_random", "drop_blur", "drop_blur_random", "drop_word", "drop_word_random")
Row = dict[str, Any]
Runs = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    """The demo's CLIP."""
    return load_model(MODEL)


@pytest.fixture
def run(start: Start, tmp_path: Path) -> Runs:
    """`run(data, ...)`: what a real `python -m jobs run --json` process answers; the store is `tmp_path / "s"`."""

    def call(data: Path, *options: object, model: str = MODEL, store: str = "s") -> dict[str, Any]:
        where = ("--store", tmp_path / store, "--device", "cpu", "--workers", 0)
        command = start("run", "--data", data, "--model", model, *where, *options, "--json")
        code = command.wait()
        assert code == 0, command.stderr.read_text()
        return json.loads(command.stdout.read_text())

    return call


def manifest(folder: Path, pairs: list[tuple[int, str]]) -> Path:
    """A manifest of pairs; pictures of noise by their seeds."""
    for seed in {seed for seed, _ in pairs}:
        noise(folder / f"{seed}.png", seed)
    return write_manifest(folder / "pairs.csv", [{"image": f"{seed}.png", "text": text} for seed, text in pairs])


def rows_of(reader: RunReader, target: str, modality: str) -> list[Row]:
    """Samples with their explanations of a target on a modality, by sample."""
    return reader.query(
        "SELECT * FROM samples JOIN explanations USING (sample_id) WHERE target = ? AND modality = ? "
        "ORDER BY sample_id",
        [target, modality],
    )


def maps_of(reader: RunReader, target: str, modality: str) -> dict[int, NDArray[np.float32]]:
    keys = [(row["sample_id"], target) for row in rows_of(reader, target, modality)]
    return {sample: values for (sample, _), values in reader.maps(keys, modality).items()}


def inputs_of(loaded: LoadedModel, data: Path, rows: list[Row]) -> torch.Tensor:
    assert loaded.preprocess is not None
    return torch.stack([loaded.preprocess(decode(data.parent / row["uri"])) for row in rows])


def scores_of(
    loaded: LoadedModel, images: torch.Tensor, texts: list[str], target: str = "clip-score"
) -> NDArray[np.float32]:
    """Scores [B, T] of each picture with each text, from the embeddings as the library's model computes them."""
    with torch.no_grad():
        pictures = loaded.model.encode_image(images, normalize=True)
        sentences = loaded.model.encode_text(loaded.tokenizer(texts), normalize=True)
        cosine = pictures @ sentences.T
        scores = 2.5 * cosine.clamp(min=0) if target == "clip-score" else loaded.model.logit_scale.exp() * cosine
    return scores.numpy()


# ---- shared towers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["clip-score", "clip-logit"])
@pytest.mark.parametrize("shared", ["captions", "pictures", "both"])
def test_repeated_pictures_and_texts_change_no_map(
    run: Runs, loaded: LoadedModel, tmp_path: Path, target: str, shared: str
) -> None:
    pairs = {
        "captions": [(seed, text) for seed in range(2) for text in CAPTIONS[:5]],  # five of each picture
        "pictures": [(seed, CAPTIONS[0]) for seed in range(8)],
        "both": [(seed, CAPTIONS[k]) for seed, k in [(0, 0), (1, 1), (0, 2), (2, 2), (1, 2), (3, 0)]],
    }[shared]
    data = manifest(tmp_path / "data", pairs)
    together = run(data, "--target", target, "--batch-size", 16)
    alone = run(data, "--target", target, "--batch-size", 1, store="alone")
    assert together["explained"] == alone["explained"] == len(pairs)
    with (
        Store.open(tmp_path / "s").reader(together["run"]) as many,
        Store.open(tmp_path / "alone").reader(alone["run"]) as one,
    ):
        rows = rows_of(many, target, "image")
        assert [(row["uri"], row["text"]) for row in rows] == [(f"{seed}.png", text) for seed, text in pairs]
        np.testing.assert_allclose(
            [row["score"] for row in rows], [row["score"] for row in rows_of(one, target, "image")], rtol=1e-5
        )
        images, told = inputs_of(loaded, data, rows), 0
        for k, row in enumerate(rows):
            given = {"image": images[k : k + 1], "text": [row["text"]]}
            starts = {"image": many.record.spec["start_layer"], "text": many.record.spec["text_start_layer"]}
            assert starts == {"image": -1, "text": 0}
            for modality in ("image", "text"):
                plain = explain_targets(loaded, given, [target], start_layer=starts[modality])[0]
                assert abs(row["score"] - float(plain.score)) < 1e-5 * max(1, abs(float(plain.score)))
                stored, single = maps_of(many, target, modality)[k], maps_of(one, target, modality)[k]
                expected = plain.relevancy[modality][0].numpy()[: len(stored)]
                peak = np.abs(expected).max()
                told += bool(peak > 0)  # what has a negative cosine has a CLIPScore of 0 and a map of zeros
                assert np.abs(stored - single).max() <= 1e-5 * peak
                assert np.abs(stored - expected).max() <= 1e-5 * peak
        assert told >= len(rows) // 2


# ---- texts --------------------------------------------------------------------------------------------------------


def test_long_texts_are_cut_and_told(run: Runs, loaded: LoadedModel, start: Start, tmp_path: Path) -> None:
    assert loaded.tokenizer is not None
    context = loaded.tokenizer.context
    long = " ".join(["a red car"] * context)
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (1, long), (2, long + " and a boat")])
    result = run(data)
    remark = f"the text is longer than the model's {context} tokens: its end was cut"
    assert (result["explained"], result["failed"], result["remarks"]) == (3, 0, {remark: 2})
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        short, first, second = rows_of(reader, "clip-logit", "text")
    assert (short["text_cut"], short["text_tokens"] <= context) == (False, True)
    for row in (first, second):
        assert row["text_cut"] is True and row["text_tokens"] == loaded.tokenizer.count(row["text"]) > context
        words = row["text"].split()
        assert row["words"] == words[: len(row["words"])] and 0 < len(row["words"]) < len(words)
        assert len(row["tokens"]) <= context
        assert max(row["token_words"]) == len(row["words"]) - 1  # the last word is the one of the last token
    other = start("run", "--data", data, "--model", MODEL, "--store", tmp_path / "t", "--device", "cpu", "--workers", 0)
    assert other.wait() == 0
    assert f"note: 2 x {remark}" in other.stdout.read_text()


TEXTS = {
    "a red 🚤 on the sea": ["a", "red", "🚤", "on", "the", "sea"],
    "family 👨‍👩‍👧 and 👍🏽 at 🇫🇷": ["family", "👨‍👩‍👧", "and", "👍🏽", "at", "🇫🇷"],
    "海上的红船": list("海上的红船"),
    "Ein Café für don't-know, naïve": ["Ein", "Café", "für", "don't-know", "naïve"],
    "  a   boat\tand\xa0a car ": ["a", "boat", "and", "a", "car"],
    "cats &amp; dogs &#39;here&#39;": ["cats", "dogs", "here"],
    "!!! ... ?": [],
}


@pytest.mark.parametrize("named", ["demo", "openai"])
def test_words_stand_where_the_columns_say(run: Runs, clip: str, tmp_path: Path, named: str) -> None:
    data = manifest(tmp_path / "data", list(enumerate(TEXTS)))
    result = run(data, model=MODEL if named == "demo" else clip)
    assert (result["explained"], result["failed"]) == (len(TEXTS), 0)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        found = reader.query(
            "SELECT text, words, list_transform(range(1, len(words) + 1), "
            "lambda k: text[word_starts[k] + 1:word_ends[k]]) AS cut, tokens, token_words, text_cut "
            "FROM samples ORDER BY sample_id"
        )
        tops = [row["top_tokens"] for row in rows_of(reader, "clip-logit", "text")]
    assert [row["text"] for row in found] == list(TEXTS)
    for row, top in zip(found, tops, strict=True):
        expected = TEXTS[row["text"]]
        assert row["cut"] == row["words"]
        assert row["words"] == (expected[: len(row["words"])] if row["text_cut"] else expected)
        assert len(row["token_words"]) == len(row["tokens"])
        assert {k for k in row["token_words"] if k >= 0} == set(range(len(row["words"])))
        assert all(word in row["words"] for word in top)


def test_empty_texts_fail_with_a_reason(run: Runs, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (1, ""), (2, "  \t"), (3, CAPTIONS[1])])
    result = run(data, "--words", 1, "--evidence")
    assert (result["explained"], result["failures"]) == (2, [{"reason": "no text", "n": 2}])


def test_a_text_without_words_has_no_word_to_remove(run: Runs, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(0, "!!!"), (1, "boat"), (2, "a boat")])
    result = run(data, "--words", 2, "--evidence")
    assert result["explained"] == 3
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        none, one, two = rows_of(reader, "clip-logit", "text")
        links = reader.query("SELECT sample_id, target, word FROM explanations WHERE word IS NOT NULL ORDER BY ALL")
    assert [none[name] for name in ("drop_word", "drop_word_random", "dropped_word")] == [None] * 3
    assert one["dropped_word"] == "boat" and one["drop_word"] is not None and one["drop_word_random"] is None
    assert None not in (two["drop_word"], two["drop_word_random"])
    assert [(row["sample_id"], row["target"]) for row in links] == [(1, "word-1"), (2, "word-1"), (2, "word-2")]
    assert links[0]["word"] == "boat" and {row["word"] for row in links[1:]} == {"a", "boat"}


# ---- --words and --evidence ---------------------------------------------------------------------------------------


def without(text: str, word: str, row: Row) -> str:
    """The text without a word that occurs once, by its place."""
    k = row["words"].index(word)
    assert row["words"].count(word) == 1
    left = text[: row["word_starts"][k]] + text[row["word_ends"][k] :]
    return " ".join(left.split())


@pytest.mark.parametrize("target", ["clip-score", "clip-logit"])
def test_evidence_equals_a_plain_recomputation(run: Runs, loaded: LoadedModel, tmp_path: Path, target: str) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (0, CAPTIONS[2]), (1, CAPTIONS[2]), (2, CAPTIONS[5])])
    result = run(data, "--target", target, "--evidence")
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        images, texts = rows_of(reader, target, "image"), rows_of(reader, target, "text")
        image_maps, text_maps = (maps_of(reader, target, modality) for modality in ("image", "text"))
        side = reader.record.model["grid"][0]
    assert np.abs([[row[name] for name in DROPS[:4]] for row in images]).max(axis=0).min() > 0
    assert np.abs([[row[name] for name in DROPS[4:]] for row in texts]).max(axis=0).min() > 0
    inputs = inputs_of(loaded, data, images)
    for k, (image, text) in enumerate(zip(images, texts, strict=True)):
        relevancy, said = image_maps[k], text["text"]
        score = scores_of(loaded, inputs[k : k + 1], [said], target)[0, 0]
        assert abs(score - image["score"]) < 1e-5
        count = round(0.2 * len(relevancy))
        rng = np.random.default_rng((k, len(said)))
        strongest = sorted(range(len(relevancy)), key=lambda cell, values=relevancy: -values[cell])[:count]
        chosen = {"": strongest, "_random": rng.choice(len(relevancy), count, replace=False).tolist()}
        cell = inputs.shape[-1] // side
        for suffix, cells in chosen.items():
            mask = torch.zeros(inputs.shape[-2:], dtype=torch.bool)
            for place in cells:
                y, x = divmod(place, side)
                mask[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] = True
            painted = inputs[k].clone()
            painted[:, mask] = inputs[k][:, ~mask].mean(dim=1, keepdim=True)
            blurred = fill_blur(inputs[k : k + 1], mask[None])[0]
            left = scores_of(loaded, torch.stack([painted, blurred]), [said], target)[:, 0]
            stored = [image[f"drop_mean{suffix}"], image[f"drop_blur{suffix}"]]
            np.testing.assert_allclose(stored, score - left, atol=2e-5)
        sums = dict.fromkeys(text["words"], 0.0)
        for value, word in zip(text_maps[k], text["token_words"], strict=True):
            if word >= 0:
                sums[text["words"][word]] += float(value)
        assert len(sums) == len(text["words"]), "captions with a repeated word do not fit this recomputation"
        best = max(sums, key=sums.__getitem__)
        assert text["dropped_word"] == best
        other = rng.choice([j for j, word in enumerate(text["words"]) if word != best])
        for name, word in (("drop_word", best), ("drop_word_random", text["words"][other])):
            left = scores_of(loaded, inputs[k : k + 1], [without(said, word, text)], target)[0, 0]
            assert abs(text[name] - (score - left)) < 2e-5
        assert all(image[name] is None for name in ("drop_word", "drop_word_random", "dropped_word"))
        assert all(text[name] is None for name in DROPS[:4])


def test_words_have_maps_of_their_own(run: Runs, loaded: LoadedModel, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[2]), (1, CAPTIONS[2]), (1, CAPTIONS[0])])
    result = run(data, "--target", "clip-logit", "--words", 2)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        targets = reader.query("SELECT DISTINCT target FROM explanations ORDER BY target")
        assert [row["target"] for row in targets] == ["clip-logit", "word-1", "word-2"]
        texts = rows_of(reader, "clip-logit", "text")
        text_maps = maps_of(reader, "clip-logit", "text")
        links = [rows_of(reader, f"word-{k}", "image") for k in (1, 2)]
        maps = [maps_of(reader, f"word-{k}", "image") for k in (1, 2)]
        assert not rows_of(reader, "word-1", "text") and not rows_of(reader, "word-2", "text")
        assert not reader.query("SELECT 1 FROM explanations WHERE drop_mean IS NOT NULL OR drop_word IS NOT NULL")
        assert not reader.query("SELECT 1 FROM explanations WHERE word IS NOT NULL AND target = 'clip-logit'")
    inputs = inputs_of(loaded, data, texts)
    for k, text in enumerate(texts):
        sums = np.zeros(len(text["words"]))
        for value, word in zip(text_maps[k], text["token_words"], strict=True):
            if word >= 0:
                sums[word] += value
        for place, link in enumerate(links):
            word = text["words"][int(np.argsort(-sums)[place])]
            assert link[k]["word"] == word
            both = [text["text"], without(text["text"], word, text)]
            whole, less = scores_of(loaded, inputs[k : k + 1], both, "clip-logit")[0]
            assert abs(link[k]["score"] - (whole - less)) < 2e-5
            assert np.abs(maps[place][k]).max() > 0
        assert np.abs(maps[0][k] - maps[1][k]).max() > 0


def test_the_text_tower_may_start_at_a_layer_of_its_own(run: Runs, start: Start, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (1, CAPTIONS[1])])
    found: dict[tuple[int, int | None], dict[str, Any]] = {}
    for own, text in ((-1, 0), (-1, None), (0, None)):
        more = () if text is None else ("--text-start-layer", text)
        result = run(data, "--target", "clip-logit", "--start-layer", own, *more)
        with Store.open(tmp_path / "s").reader(result["run"]) as reader:
            assert reader.record.spec.get("text_start_layer") == text
            found[own, text] = {m: maps_of(reader, "clip-logit", m) for m in ("image", "text")}
    for k in range(2):
        assert np.allclose(found[-1, 0]["image"][k], found[-1, None]["image"][k], atol=1e-6)
        assert np.allclose(found[-1, 0]["text"][k], found[0, None]["text"][k], atol=1e-6)
        assert not np.allclose(found[-1, 0]["text"][k], found[-1, None]["text"][k], atol=1e-6)
    where = ("--data", data, "--model", MODEL, "--store", tmp_path / "s", "--device", "cpu")
    command = start("run", *where, "--text-start-layer", 9)
    assert command.wait() == 2
    assert (
        "--text-start-layer 9: the text tower has 3 layers (0 to 2, or -1 for the last)" in command.stderr.read_text()
    )


def test_without_the_options_their_columns_are_empty_and_each_makes_another_run(run: Runs, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (1, CAPTIONS[1])])
    plain = run(data)["run"]
    others = {
        run(data, *options)["run"]
        for options in (("--words", 1), ("--words", 2), ("--evidence",), ("--words", 1, "--evidence"))
    }
    assert len({plain, *others}) == 5
    assert run(data, "--words", 0)["skipped"] == 2  # the plain run once more
    with Store.open(tmp_path / "s").reader(plain) as reader:
        empty = " AND ".join(f"count({name}) = 0" for name in (*DROPS, "dropped_word", "word"))
        assert reader.query(f"SELECT {empty} AS empty, count(DISTINCT target) AS targets FROM explanations") == [
            {"empty": True, "targets": 1}
        ]
    chosen = identity(RunSpec("d", "m"), fingerprint="f", target="clip-logit", start_layer=0)
    assert not {"words", "evidence"} & set(chosen)


@pytest.mark.parametrize("option", [("--words", 1), ("--evidence",), ("--text-start-layer", 0)])
@pytest.mark.parametrize("kind", ["classifier", "zero-shot", "vilt", "blip"])
def test_other_models_refuse_the_options(
    start: Start, vit: str, tmp_path: Path, kind: str, option: tuple[object, ...]
) -> None:
    data = manifest(tmp_path / "data", [(0, CAPTIONS[0]), (1, CAPTIONS[1])])
    classes = tmp_path / "classes.txt"
    classes.write_text("boat\ncar\n")
    model = {
        "classifier": lambda: [vit],
        "zero-shot": lambda: [MODEL, "--classes", classes],
        "vilt": lambda: [f"hf:{FOLDERS['transformers/vilt-retrieval'](tmp_path / 'model')}"],
        "blip": lambda: [f"hf:{FOLDERS['transformers/blip-itm'](tmp_path / 'model')}"],
    }[kind]()
    command = start("run", "--data", data, "--model", *model, "--store", tmp_path / "s", "--device", "cpu", *option)
    assert command.wait() == 2
    said = [line for line in command.stderr.read_text().splitlines() if line and "Loading weights" not in line]
    assert len(said) == 1 and said[0].startswith(f"error: {option[0]} is for scores of image-text models"), said
    assert not list((tmp_path / "s").glob("runs/*"))


# ---- percentiles and embeddings -----------------------------------------------------------------------------------


def plain_percentile(score: float, quantiles: list[float]) -> float:
    """Percent of the distribution below a score, straight lines between neighbouring quantiles."""
    step = 100 / (len(quantiles) - 1)
    for k, (low, high) in enumerate(pairwise(quantiles)):
        if score <= low:
            return k * step
        if score <= high:
            return (k + (score - low) / (high - low)) * step
    return 100.0


def test_percentiles_come_from_shuffled_pairs_of_different_texts(
    run: Runs, loaded: LoadedModel, tmp_path: Path
) -> None:
    pairs = [(seed, CAPTIONS[seed % 5]) for seed in range(11)] + [(0, CAPTIONS[5])]  # a picture may have two texts
    data = manifest(tmp_path / "data", [*pairs, (99, "a broken picture")])
    (tmp_path / "data/99.png").write_text("not a picture")
    result = run(data, "--target", "clip-score")
    assert (result["explained"], result["failed"]) == (12, 1)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        shuffled = reader.record.model["shuffled"]
        rows = rows_of(reader, "clip-score", "image") + rows_of(reader, "clip-score", "text")
    texts = [text for _, text in pairs]
    scores = scores_of(loaded, inputs_of(loaded, data, rows[:12]), texts)
    other = [scores[i, j] for i in range(12) for j in range(12) if (pairs[i][0], texts[j]) not in pairs]
    assert len(other) < len([1 for one in texts for two in texts if one != two]), "the second text counts as its own"
    assert (shuffled["target"], shuffled["pairs"], shuffled["shuffled"]) == ("clip-score", 12, len(other))
    quantiles = shuffled["quantiles"]
    expected = np.quantile(np.array(other, np.float64), np.linspace(0, 1, len(quantiles)))
    np.testing.assert_allclose(quantiles, expected, atol=1e-5)
    assert len(set(quantiles)) > 100
    for row in rows:
        assert 0 <= row["clip_percentile"] <= 100
        assert abs(row["clip_percentile"] - plain_percentile(row["score"], quantiles)) < 0.01
    assert len({row["clip_percentile"] for row in rows}) > 3


def test_a_score_that_no_shuffled_pair_is_below_is_at_zero(run: Runs, tmp_path: Path) -> None:
    """An untrained model: many cosines are negative, their CLIPScore is 0, and nothing lies below that."""
    model = f"open_clip:local-dir:{FOLDERS['open_clip/clip'](tmp_path / 'model')}"
    captions = ["a red boat", "two blue tree", "the house", "a photo of the sea", "blue", "on the red tree"]
    data = manifest(tmp_path / "data", list(enumerate(captions)))
    result = run(data, "--target", "clip-score", model=model)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        rows, shuffled = rows_of(reader, "clip-score", "image"), reader.record.model["shuffled"]
    assert shuffled["quantiles"][:100] == [0.0] * 100
    zero = [row["clip_percentile"] for row in rows if row["score"] == 0]
    assert zero and set(zero) == {0.0}
    for row in rows:
        assert abs(row["clip_percentile"] - plain_percentile(row["score"], shuffled["quantiles"])) < 0.01


@pytest.mark.parametrize(("pictures", "texts"), [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_texts_that_belong_to_all_pictures_give_no_percentile(
    run: Runs, tmp_path: Path, pictures: int, texts: int
) -> None:
    data = manifest(tmp_path / "data", [(seed, text) for seed in range(pictures) for text in CAPTIONS[:texts]])
    result = run(data)
    assert result["explained"] == pictures * texts
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        assert reader.record.model["shuffled"] == {}
        assert {row["clip_percentile"] for row in rows_of(reader, "clip-logit", "image")} == {None}


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_first_percentiles(start: Start, run: Runs, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(seed, CAPTIONS[seed % 6]) for seed in range(60)])
    options = ("--target", "clip-score", "--words", 1, "--evidence", "--part-size", 2, "--batch-size", 2)
    where = ("--store", tmp_path / "s", "--device", "cpu", "--workers", 0)
    killed = start("run", "--data", data, "--model", MODEL, *where, *options)
    until(killed, lambda: list((tmp_path / "s").glob("runs/*/parts/*.json")))
    killed.kill()
    assert killed.wait() == -9
    (path,) = (tmp_path / "s").glob("runs/*/run.json")
    record = json.loads(path.read_text())
    first = record["model"]["shuffled"]["quantiles"]
    # what the first call had found, had it seen other pictures: the second must not look again
    record["model"]["shuffled"]["quantiles"] = moved = [value + 0.05 for value in first]
    path.write_text(json.dumps(record))
    done = {int(file.stem) for file in path.parent.glob("parts/*.json")}
    result = run(data, *options)
    assert result["resumed_parts"] >= len(done) > 0 and result["explained"] > 0
    assert (result["total_explained"], result["total_failed"]) == (60, 0)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        assert reader.record.model["shuffled"]["quantiles"] == moved
        rows = rows_of(reader, "clip-score", "image")
    assert [row["sample_id"] for row in rows] == list(range(60))
    for row in rows:
        used = first if row["sample_id"] // 2 in done else moved
        assert abs(row["clip_percentile"] - plain_percentile(row["score"], used)) < 0.01
    whole = run(data, *options, store="whole")
    with Store.open(tmp_path / "whole").reader(whole["run"]) as reader:
        assert reader.record.model["shuffled"]["quantiles"] == first
        again = rows_of(reader, "clip-score", "image")
    for row, other in zip(rows, again, strict=True):
        np.testing.assert_allclose([row[n] for n in DROPS[:4]], [other[n] for n in DROPS[:4]], atol=1e-6)


def test_the_cosine_of_the_stored_vectors_is_the_score(run: Runs, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", [(seed, text) for seed in range(3) for text in CAPTIONS[:3]])
    result = run(data, "--target", "clip-score", "--words", 1)
    with Store.open(tmp_path / "s").reader(result["run"]) as reader:
        (width,) = reader.snapshot.contents.embedding_widths
        found = reader.query(
            "SELECT sample_id, score, list_sum(list_transform(a.vec::FLOAT[], lambda x: x * x)) AS image, "
            "list_sum(list_transform(b.vec::FLOAT[], lambda x: x * x)) AS text, "
            "array_inner_product(a.vec, b.vec) AS cosine "
            f"FROM explanations JOIN embedding_{width} a USING (sample_id) JOIN embedding_{width} b USING (sample_id) "
            "WHERE a.modality = 'image' AND b.modality = 'text' AND explanations.modality = 'image' "
            "AND target = 'clip-score' ORDER BY sample_id"
        )
        assert reader.query(f"SELECT count(*) AS n FROM embedding_{width}") == [{"n": 18}]
    assert [row["sample_id"] for row in found] == list(range(9))
    assert sum(row["score"] > 0 for row in found) >= 3
    for row in found:
        assert abs(max(row["cosine"], 0) - row["score"] / 2.5) < 1e-6
        assert abs(row["image"] - 1) < 1e-5 and abs(row["text"] - 1) < 1e-5


# ---- what a newcomer types wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ([{"image": "0.png", "label": "x"}], [], ["compares pictures with texts", "columns 'image' and 'text'"]),
        ([{"text": "a boat"}], [], ["reads pictures", "a column 'image'"]),
        ([{"image": "0.png", "text": "a boat"}], ["--target", "clipscore"], ["did you mean clip-score?"]),
        ([{"image": "0.png", "text": "a boat"}], ["--target", "class:boat"], ["clip-logit, clip-score", "--classes"]),
        ([{"image": "0.png", "text": "a boat"}], ["--target", "predicted"], ["clip-logit, clip-score", "--classes"]),
        ([{"image": "0.png", "text": "a boat"}], ["--words", "-1"], ["--words -1", "at least 0"]),
    ],
)
def test_wrong_commands(
    start: Start, tmp_path: Path, rows: list[dict[str, str]], options: list[str], words: list[str]
) -> None:
    noise(tmp_path / "data/0.png", 0)
    data = write_manifest(tmp_path / "data/pairs.csv", rows)
    command = start("run", "--data", data, "--model", MODEL, "--store", tmp_path / "s", "--device", "cpu", *options)
    assert command.wait() == 2
    said = command.stderr.read_text()
    assert said.startswith("error: ") and said.count("\n") == 1, said
    for word in words:
        assert word in said


def test_a_folder_has_no_captions(start: Start, tmp_path: Path) -> None:
    noise(tmp_path / "photos/cat/0.png", 0)
    command = start("run", "--data", tmp_path / "photos", "--model", MODEL, "--store", tmp_path / "s")
    assert command.wait() == 2
    assert "give a manifest with columns 'image' and 'text'" in command.stderr.read_text()
