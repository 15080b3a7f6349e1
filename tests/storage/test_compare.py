"""Comparing two runs: every number is counted again from the written rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store, StoreError, parts_table
from storage.compare import (
    LISTS,
    NothingInCommon,
    compare,
    differences,
    resampled_similarity,
    summary_sentences,
)
from storage.compare import joined as joining

GRID = (5, 5)
N = 90
CLASSES = ["ant", "bee", "cat"]
Row = dict[str, Any]


def row(number: int, seed: int, grid: tuple[int, int] = GRID, masks: bool = True, labels: bool = True) -> Row:
    """One explained picture; all of it follows from the number and the seed."""
    rng = np.random.default_rng([number, seed])
    label, predicted = CLASSES[number % 3], CLASSES[(number + int(rng.random() < 0.3)) % 3]
    return {
        "sample_id": number,
        "uri": f"{number:03d}.jpg",
        "label": label if labels else None,
        "grid_h": grid[0],
        "grid_w": grid[1],
        "target": "predicted",
        "modality": "image",
        "score": float(rng.normal()),
        "predicted": predicted,
        "confidence": float(rng.uniform(0.3, 1)),
        "correct": predicted == label if labels else None,
        "entropy": float(rng.random()),
        "border_share": float(rng.random()),
        "center_x": float(rng.random()),
        "center_y": float(rng.random()),
        "mask_share": float(rng.random()) if masks else None,
        "map": np.zeros(grid[0] * grid[1], np.float32)
        if number == 4
        else rng.random(grid[0] * grid[1]).astype(np.float32),
    }


def write(store: Store, name: str, rows: list[Row], fingerprint: str = "f00", **spec: Any) -> list[Row]:
    """A run of these rows: a sealed segment and a part that is not."""
    record = {
        "spec": {"model": "tiny", "method": "gae", "start_layer": 0, "workers": 3, **spec},
        "model": {"name": "tiny", "grid": list(GRID), "class_names": CLASSES},
        "dataset": {"root": "/data", "fingerprint": fingerprint, "samples": len(rows), "metadata": []},
    }
    with store.writer(name, record) as writer:
        writer.commit_part(0, parts_table(rows[: len(rows) // 2], []))
        writer.seal()
        writer.commit_part(1, parts_table(rows[len(rows) // 2 :], []))
        writer.finish()
    return rows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Runs of one dataset, and of others."""
    made = Store.open(tmp_path_factory.mktemp("compare") / "audits", create=True)
    write(made, "first", rows("first"))
    write(made, "second", rows("second"), method="rollout", workers=1)
    write(made, "coarse", rows("coarse"))
    write(made, "bare-a", rows("bare-a"))
    write(made, "bare-b", rows("bare-b"))
    write(made, "moved", rows("moved"), fingerprint="other")
    write(made, "elsewhere", [{**row(i, 9), "uri": f"other/{i}.jpg"} for i in range(5)], fingerprint="third")
    write(made, "other-target", [{**row(i, 1), "target": "label"} for i in range(5)])
    return made


def rows(run: str) -> list[Row]:
    """What was written into a run."""
    made: dict[str, Callable[[], list[Row]]] = {
        "first": lambda: [row(i, 1) for i in range(N)],
        "second": lambda: [row(i, 2) for i in range(10, N + 5)],
        "coarse": lambda: [row(i, 3, (3, 4)) for i in range(N)],
        "bare-a": lambda: [row(i, 4, masks=False, labels=False) for i in range(N)],
        "bare-b": lambda: [row(i, 5, masks=False, labels=False) for i in range(N)],
        # the same files under other ids, in another order, one of them twice
        "moved": lambda: [{**row(i, 6), "sample_id": 1000 + n} for n, i in enumerate([*reversed(range(20, N)), 30])],
    }
    return made[run]()


def paired(a: str, b: str, key: str = "sample_id") -> list[tuple[Row, Row]]:
    """The rows of both runs that belong together."""
    of_b: dict[Any, Row] = {}
    for r in rows(b):
        of_b.setdefault(r[key], r)
    return [(r, of_b[r[key]]) for r in rows(a) if r[key] in of_b]


def cosine(a: Row, b: Row) -> float | None:
    x, y = (np.asarray(r["map"], np.float64) for r in (a, b))
    length = np.linalg.norm(x) * np.linalg.norm(y)
    return None if len(x) != len(y) or not length else float(x @ y / length)


@pytest.fixture
def comparison(store: Store) -> Iterator[Any]:
    with store.reader("first") as a, store.reader("second") as b, compare(a, b) as found:
        yield found


def test_the_summary_counts_what_was_written(comparison: Any) -> None:
    pairs, told = paired("first", "second"), comparison.summary(threshold=0.25)
    assert (told["n_common"], told["only_a"], told["only_b"]) == (len(pairs), 10, 5)
    assert told["joined_by"] == "sample_id"
    assert told["changed"] == sum(a["predicted"] != b["predicted"] for a, b in pairs)
    assert told["became_wrong"] == sum(a["correct"] and not b["correct"] for a, b in pairs)
    assert told["became_right"] == sum(b["correct"] and not a["correct"] for a, b in pairs)
    assert told["accuracy_a"] == pytest.approx(np.mean([a["correct"] for a, _ in pairs]))
    assert told["accuracy_b"] == pytest.approx(np.mean([b["correct"] for _, b in pairs]))
    assert told["median_similarity"] == pytest.approx(np.median([cosine(a, b) for a, b in pairs]), abs=1e-6)
    assert told["mask_share_b"] == pytest.approx(np.mean([b["mask_share"] for _, b in pairs]), abs=1e-6)
    right = [(a, b) for a, b in pairs if a["correct"] and b["correct"]]
    assert (told["basis"], told["stayed"]) == ("mask_share", "right")
    assert told["left_object"] == sum(a["mask_share"] - b["mask_share"] >= 0.25 for a, b in right) > 0
    assert told["came_to_object"] == sum(b["mask_share"] - a["mask_share"] >= 0.25 for a, b in right) > 0


def test_every_list_holds_the_right_samples_in_order_page_by_page(comparison: Any) -> None:
    pairs = {a["sample_id"]: (a, b) for a, b in paired("first", "second")}
    drop = {i: a["mask_share"] - b["mask_share"] for i, (a, b) in pairs.items()}
    right = [i for i, (a, b) in pairs.items() if a["correct"] and b["correct"]]
    alike = {i: cosine(a, b) for i, (a, b) in pairs.items()}
    by_move = sorted(pairs, key=lambda i: -(1 - (alike[i] or 0)))
    sure = sorted(pairs, key=lambda i: -pairs[i][1]["confidence"])
    wanted = {
        "moved": by_move,
        "changed": [i for i in by_move if pairs[i][0]["predicted"] != pairs[i][1]["predicted"]],
        "wrong": [i for i in sure if pairs[i][0]["correct"] and not pairs[i][1]["correct"]],
        "right": [i for i in sure if pairs[i][1]["correct"] and not pairs[i][0]["correct"]],
        "left": sorted((i for i in right if drop[i] >= 0.2), key=lambda i: -drop[i]),
        "came": sorted((i for i in right if drop[i] <= -0.2), key=lambda i: drop[i]),
    }
    assert set(wanted) == set(LISTS)
    for name, ids in wanted.items():
        pages = [comparison.page(name, page, 24) for page in range(1, 2 + len(ids) // 24)]
        assert [r["id_a"] for page in pages for r in page] == ids, name
        assert comparison.count(name) == len(ids) > 0
    shown = comparison.page("moved", 1, 3)[0]
    a, b = pairs[shown["id_a"]]
    assert (shown["a"]["predicted"], shown["b"]["predicted"]) == (a["predicted"], b["predicted"])
    assert shown["similarity"] == pytest.approx(alike[a["sample_id"]], abs=1e-6)
    assert shown["moved"] == pytest.approx(1 - alike[a["sample_id"]], abs=1e-6)
    assert shown["mask_share_b"] == pytest.approx(b["mask_share"])
    assert shown["shift"] == pytest.approx(
        np.hypot(a["center_x"] - b["center_x"], a["center_y"] - b["center_y"]), abs=1e-6
    )


def test_histogram_plane_and_a_set_of_samples(comparison: Any) -> None:
    pairs = paired("first", "second")
    bins = comparison.histogram("similarity", 10)
    counts, _ = np.histogram([cosine(a, b) for a, b in pairs], 10, (0, 1))
    assert [b["n"] for b in bins] == counts.tolist()
    x, y = ([r["mask_share"] for r in side] for side in zip(*pairs, strict=True))
    wanted, _, _ = np.histogram2d(y, x, 20, ((0, 1), (0, 1)))
    assert (comparison.plane("mask_share") == wanted).all()
    some = comparison.keep([12, 40, 88, 4000])
    assert comparison.summary(within=some)["n_common"] == comparison.count("moved", within=some) == 3
    assert {r["id_a"] for r in comparison.page("moved", within=some)} == {12, 40, 88}


def test_small_chunks_give_the_same_similarities(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "CHUNK", 7)
    with store.reader("first") as a, store.reader("moved") as b, compare(a, b) as found:
        of = {r["id_a"]: r for r in found.page("moved", 1, 200)}
    pairs = paired("first", "moved", "uri")
    assert len(of) == len(pairs) == N - 20
    for a, b in pairs:
        assert of[a["sample_id"]]["similarity"] == pytest.approx(cosine(a, b), abs=1e-6)


def test_other_datasets_are_matched_by_file_each_once(store: Store) -> None:
    with store.reader("first") as a, store.reader("moved") as b, compare(a, b) as found:
        told = found.summary()
        assert (told["joined_by"], told["n_common"], told["only_a"], told["only_b"]) == ("uri", N - 20, 20, 1)
        assert any("matched by their file" in note for note in told["notes"])
        assert all(r["a"]["uri"] == r["b"]["uri"] and r["id_b"] >= 1000 for r in found.page("moved"))


def test_other_grids_are_compared_by_summaries_and_the_shown_ones_on_the_smaller_grid(store: Store) -> None:
    with store.reader("first") as a, store.reader("coarse") as b, compare(a, b) as found:
        told, shown = found.summary(), found.page("moved", 1, N)
    pairs = {x["sample_id"]: (x, y) for x, y in paired("first", "coarse")}
    assert told["median_similarity"] is None and told["comparable"] == 0 and told["basis"] == "mask_share"
    assert any("smaller grid" in note for note in told["notes"])
    for r in shown:
        x, y = pairs[r["id_a"]]
        changes = [abs(x[name] - y[name]) for name in ("mask_share", "border_share", "entropy")]
        assert r["moved"] == pytest.approx(max(changes), abs=1e-6)
        expected = resampled_similarity(x["map"].reshape(GRID), y["map"].reshape(3, 4))
        assert r["resampled"] and (r["similarity"] == pytest.approx(expected) if expected else r["similarity"] is None)
    assert sum(r["similarity"] is None for r in shown) == 1  # the map of sample 4 is zero


def test_without_masks_and_labels_the_border_tells_and_it_says_so(store: Store) -> None:
    with store.reader("bare-a") as a, store.reader("bare-b") as b, compare(a, b) as found:
        told, shown = found.summary(0.3), found.page("left", 1, N, 0.3)
    same = [(x, y) for x, y in paired("bare-a", "bare-b") if x["predicted"] == y["predicted"]]
    assert (told["basis"], told["stayed"], told["labelled"]) == ("border_share", "same", 0)
    left = [y["sample_id"] for x, y in same if y["border_share"] - x["border_share"] >= 0.3]
    assert told["left_object"] == len(left) > 0 and {r["id_a"] for r in shown} == set(left)
    text = " ".join(summary_sentences(told))
    assert "to the border" in text and "stayed the same" in text and "no masks or boxes" in text
    assert "Accuracy" not in text and "became right" not in text


def test_a_map_of_zeros_has_no_similarity(store: Store) -> None:
    with store.reader("bare-a") as a, store.reader("bare-b") as b, compare(a, b) as found:
        (zero,) = [r for r in found.page("moved", 1, N) if r["id_a"] == 4]
        assert zero["similarity"] is None and zero["moved"] > 0
        assert found.summary()["comparable"] == N - 1


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("first", "elsewhere", "no sample in common"),
        ("first", "other-target", "no explained target in common .predicted and label"),
    ],
)
def test_runs_with_nothing_in_common_are_refused(store: Store, a: str, b: str, words: str) -> None:
    with store.reader(a) as one, store.reader(b) as two, pytest.raises(NothingInCommon, match=words):
        compare(one, two)


def test_wrong_use_is_refused(store: Store, comparison: Any) -> None:
    with store.reader("first") as a, pytest.raises(StoreError, match="with itself"):
        compare(a, a)
    with store.reader("first") as a, store.reader("second") as b:
        with pytest.raises(StoreError, match="did you mean 'predicted'"):
            compare(a, b, "predictd")
        with pytest.raises(StoreError, match="available: image"):
            compare(a, b, None, "sound")
    with pytest.raises(StoreError, match="did you mean 'moved'"):
        comparison.page("move")


def test_only_settings_that_differ_and_matter_are_told(store: Store) -> None:
    with store.reader("first") as a, store.reader("second") as b:
        assert differences(a.record, b.record) == [
            {"setting": "method", "a": "gae", "b": "rollout"},
            {"setting": "dataset samples", "a": "90", "b": "85"},
        ]


def test_resampling_takes_means_of_areas() -> None:
    fine = np.arange(24, dtype=float).reshape(4, 6)
    means = fine.reshape(2, 2, 3, 2).mean(axis=(1, 3))
    assert resampled_similarity(fine, means) == pytest.approx(1.0)
    uneven = np.array([[1.0, 2.0, 3.0]])
    halves = np.array([[(1 + 2 * 0.5) / 1.5, (2 * 0.5 + 3) / 1.5]])
    assert resampled_similarity(uneven, halves) == pytest.approx(1.0)
    assert resampled_similarity(fine, np.zeros((2, 2))) is None


def test_the_files_are_let_go(store: Store, tmp_path: Path) -> None:
    with store.reader("first") as a, store.reader("second") as b, compare(a, b) as found:
        held = found._root.execute("SELECT count(*) FROM duckdb_databases() WHERE path IS NOT NULL").fetchall()
        assert held == [(0,)]
