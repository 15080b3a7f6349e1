"""Rows of suspects for the synthetic store: most kinds, tested and not, with hostile names; their samples are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
CLASSES = ("circle", "square", "triangle", "ring", "cross", "bar")  # as the synthetic model numbers them
UNIT = "1 = as far as the median pair lies above a shuffled one"


def effect(mean: float, control: float, flips: float, control_flips: float, verdict: str) -> Row:
    """An intervention on 20 samples; intervals of one width."""
    found: Row = {"n": 20, "mean": mean, "low": mean - 0.08, "high": mean + 0.08}
    found |= {"control_mean": control, "control_low": control - 0.02, "control_high": control + 0.02}
    found |= {"median": mean, "control_median": control, "ratio": mean / max(control, 0.01)}
    return found | {"flips": flips, "control_flips": control_flips, "verdict": verdict}


REMOVED = effect(0.41, 0.01, 0.71, 0.06, "verified")
PASTED = effect(0.33, 0.05, 0.55, 0.05, "verified")
NOTHING = effect(0.01, 0.0, 0.0, 0.0, "refuted")
SOME = effect(0.06, 0.05, 0.1, 0.05, "unverified")
PROVED, REFUTED, OPEN = ({"removal": REMOVED, "transplant": PASTED}, {"removal": NOTHING}, {"removal": SOME})


def share(k: int, n: int) -> Row:
    value = k / n
    return {"k": k, "n": n, "value": value, "low": max(value - 0.1, 0.0), "high": min(value + 0.1, 1.0)}


def consequence(members: int) -> Row:
    """What labels say: nearly all right with the cue, two in five without it."""
    found = {"accuracy_with": share(members - 1, members), "accuracy_without": share(8, 20)}
    return found | {"called": share(9, 12), "called_without": share(3, 140), "leaning": share(members - 1, members + 7)}


def row(key: str, kind: str, ids: Sequence[int], **values: Any) -> Row:
    """One suspect; `values` replace columns, `evidence` and `cue` add to them."""
    evidence: Row = {"cohesion": 0.8, "purity": 0.95, "adjusted_purity": 0.93, "relevancy_share": 0.3, "coverage": 0.6}
    evidence |= {"host_likeness": 0.02, "expected_by_chance": 0.1, "seen_as": [], "elsewhere": 0, "elsewhere_ids": []}
    evidence |= {"tested_on": 20, "effects": {}, "object_share": None, "object_usual": None, "untested_because": None}
    evidence |= {"words": [], "consequence": {} if kind.startswith("pair_") else consequence(len(ids))}
    if kind.startswith("pair_"):
        evidence |= {"unit": UNIT, "mean_score": 22.5, "usual_score": 24.1}
    found: Row = {"id": f"{kind}-{key}", "rank": 0, "kind": kind, "name": key, "class_name": "ring"}
    found |= {"class_index": -1, "n": len(ids), "share": 0.42, "score": 0.2}
    found |= {"status": "unverified", "flagged": False, "sample_ids": [int(i) for i in ids], **values}
    if not kind.startswith("pair_") and found["class_name"] in CLASSES:
        found["class_index"] = CLASSES.index(found["class_name"])
    found["evidence"] = evidence | values.get("evidence", {})
    found["cue"] = {"boxes": {}} | values.get("cue", {})
    return found


def boxes(ids: Sequence[int], box: Sequence[float]) -> Row:
    """The cue's box in the six strongest samples."""
    return {str(i): list(box) for i in ids[:6]}


def ranked(rows: Sequence[Row]) -> list[Row]:
    return [{**one, "rank": rank} for rank, one in enumerate(rows, 1)]


def class_suspects(by_class: dict[str, list[int]], tagged: list[int], hostile: Sequence[str]) -> list[Row]:
    """Thirteen suspects of the classification run: two pages of them.

    Args:
        by_class: sample ids that are predicted as each class.
        tagged: those of them that carry the drawn tag, predicted as 'ring'.
        hostile: texts that must be shown as text.
    """
    bars, circles, crosses = by_class["bar"], by_class["circle"], by_class["cross"]
    corner = {"boxes": boxes(tagged, (0.0, 0.0, 0.17, 0.12)), "prototypes": [[0.1, 0.2]], "cut": 0.5}
    seen = {"effects": PROVED, "object_share": 0.02, "object_usual": 0.25, "elsewhere": 2, "elsewhere_ids": bars[:2]}
    seen |= {"seen_as": ["a place: at the top left", hostile[1]], "concept_words": [["label", 0.3], ["sticker", 0.2]]}
    rows = [
        row("tag", "concept", tagged, name="alike patches at the top left", status="verified", flagged=True, cue=corner)
        | {"score": 0.41},
        row("corner", "location", tagged[:9], name="a place: at the top left", status="verified", flagged=True),
        row("bars", "concept", bars, name="alike patches at changing places", class_name="bar", status="verified"),
        row("pale", "property", circles[:12], name="pale pictures", class_name="circle", status="verified"),
        row("word", "word", crosses[:8], name="the word 'cross'", class_name="cross", status="verified"),
        row("hostile", "concept", circles[:7], name=hostile[0], class_name=hostile[1], status="unverified"),
        row("camera", "property", crosses[:9], name="camera = phone", class_name="cross"),
        row("long", "concept", bars[:6], name=hostile[5], class_name=hostile[3]),
        row("untested", "concept", by_class["square"][:8], name="alike patches", class_name="square"),
        row("year", "property", by_class["triangle"][:9], name="year at least 2023", class_name="triangle"),
        row("dark", "property", circles[:8], name="dark pictures", class_name="circle", status="refuted"),
        row("middle", "concept", by_class["square"][:10], name="alike patches in the middle", class_name="square"),
        row("border", "location", by_class["triangle"][:9], name="the border of the picture", class_name="triangle"),
    ]
    rows[0]["evidence"] |= seen
    for one in (rows[1], rows[2], rows[3], rows[4]):
        one["evidence"] |= {"effects": PROVED}
    rows[2]["cue"] |= {"boxes": boxes(bars, (0.3, 0.3, 0.7, 0.7))}
    rows[4]["evidence"] |= {"words": [["cross", 0.9, 0.1], ["a", 0.5, 0.3]]}
    rows[5]["evidence"] |= {"words": [[hostile[0], 0.5, 0.1]], "seen_as": list(hostile[:5]), "effects": OPEN}
    for one, column in ((rows[6], "camera"), (rows[9], "year")):
        one["evidence"] |= {"untested_because": f"'{column}' cannot be changed in a picture: ask whether it may matter"}
    rows[7]["evidence"] |= {"untested_because": hostile[1]}
    rows[8]["evidence"].pop("tested_on")
    for one in (rows[10], rows[11], rows[12]):
        one["status"] = "refuted"
        one["evidence"] |= {"effects": REFUTED}
    return ranked(rows)


def pair_suspects(ids: Sequence[int], hostile: Sequence[str]) -> list[Row]:
    """One suspect of each kind of pairs; the first samples have hostile captions."""
    replaced = {"replacement": effect(1.16, 0.08, 1.0, 0.06, "verified")}
    box = (0.1, 0.1, 0.5, 0.5)
    all_of = {"class_name": "all pairs", "status": "verified", "flagged": True}
    low = {"class_name": "low scores", "status": "verified", "flagged": True}
    rows = [
        row("swapped", "pair_mismatch", ids[:7], name="captions that fit other pictures", **all_of),
        row("mark", "pair_mark", ids[6:18], name="alike patches that count against the score", **low),
        row("photo", "pair_cue", ids[10:20], name="alike patches at the top", class_name="photo", status="verified"),
        row("wall", "pair_place", ids[12:22], name="a place: in the middle", class_name="wall"),
        row("pale", "pair_property", ids[20:30], name="pale pictures", class_name=hostile[1], status="refuted"),
        row("said", "pair_word", ids[2:9], name=f"the word '{hostile[2]}'", class_name="high scores"),
        row("odd", "pair_unsupported", ids[25:31], name="captions with a word that lowers the score: bar"),
    ]
    rows[0]["evidence"] |= {"effects": replaced}
    rows[1]["evidence"] |= {"effects": PROVED, "words": [[hostile[1], 0.6, 0.1]]}
    rows[1]["cue"] |= {"boxes": boxes(ids[6:18], box)}
    rows[2]["evidence"] |= {"effects": PROVED, "seen_as": ["photo: sharp pictures"]}
    rows[2]["cue"] |= {"word": "photo", "boxes": boxes(ids[10:20], box)}
    rows[3]["cue"] |= {"word": "wall"}
    rows[4]["evidence"] |= {"effects": REFUTED}
    rows[4]["cue"] |= {"word": hostile[1]}
    rows[5]["evidence"] |= {"effects": PROVED, "side": 1.0}
    rows[6] |= {"class_name": "all pairs"}
    rows[6]["evidence"] |= {"unsupported": {str(i): "bar" for i in ids[25:31]}}
    return ranked(rows)


def about(rows: Sequence[Row], samples: int, notes: Sequence[str], *, done: bool = True) -> Row:
    """What the list says of itself."""
    kinds = list(dict.fromkeys(one["kind"] for one in rows))
    pairs = rows[0]["kind"].startswith("pair_")
    chance = {"permutations": 5, "expected_suspects": 0.2}
    return {
        "samples": samples,
        "total": samples,
        "complete": True,
        "target": "clip-logit" if pairs else "predicted",
        "chance": chance | {"kinds": {kind: {"highest_score": 0.03, "candidates": 12.0} for kind in kinds}},
        "settings": {"top": 40, "kinds": kinds, "verify": True, "photos": 20, "permutations": 5, "seed": 0},
        "notes": list(notes),
        "done": done,
    }
