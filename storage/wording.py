"""Stored suspects in plain English: pure functions from a row of `suspects.parquet` to sentences.

The one source of the sentences that the terminal, the pages and the report show. Lines begin with a small letter and
end without a full stop; `sentence` makes one of a line. Names of classes, columns and words are the data's own: lines
are plain text, to be escaped where they are shown as Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]

MOST_VIEWS = 4
STATUSES = ("verified", "unverified", "refuted")
LOW = "low scores"

KINDS: dict[str, tuple[str, str]] = {
    "concept": ("alike patches", "Relevant patches that look alike in many samples of one predicted class."),
    "location": ("place", "A place in the picture that is relevant in many samples of one predicted class."),
    "property": ("property", "A property of the whole picture, of its file or of its metadata that goes with a class."),
    "word": ("word", "A word of the texts that is relevant in many samples of one predicted class."),
    "pair_mismatch": ("wrong captions", "Captions that fit other pictures better than their own."),
    "pair_mark": ("mark", "Something in the pictures that holds the score down."),
    "pair_cue": ("cue of a word", "Something in the pictures that the score owes to a word of the captions."),
    "pair_place": ("place of a word", "A place in the pictures that the score owes to a word of the captions."),
    "pair_property": ("property of a word", "A property of the pictures that goes with a word of the captions."),
    "pair_word": ("word", "A word of the captions that goes with high or with low scores."),
    "pair_unsupported": ("unsupported words", "Captions with a word that nothing in the picture supports."),
}
"""Name and meaning of each kind."""

REGION = {
    "removal": ("masking the cue changes {} of the predictions", "masking as much elsewhere {}"),
    "transplant": ("pasting the cue into other pictures turns {} of them into {name}", "as much of the rest {}"),
}
EFFECTS = {
    "property": {
        "removal": ("making its pictures like others changes {} of the predictions", "the opposite change {}"),
        "transplant": ("making other pictures like its own turns {} of them into {name}", "the opposite change {}"),
    },
    "word": {
        "removal": ("taking the word out changes {} of the predictions", "taking out another word {}"),
        "transplant": ("adding the word to other texts turns {} of them into {name}", "adding another word {}"),
    },
}
"""What interventions on the samples of a class did, and their control; of other kinds see REGION."""

PAIR_EFFECTS = {
    "replacement": "the caption that fits the picture best raises the score by {mean:z.2f} of the usual gap; a random "
    "one by {control_mean:z.2f}",
    "removal": "removing it {removes} the score by {mean:z.2f} of the usual gap; removing as much elsewhere by "
    "{control_mean:z.2f}",
    "transplant": "pasting it into other pictures {adds} the score by {mean:z.2f}; pasting as much of the rest by "
    "{control_mean:z.2f}",
}
OTHER_PAIR_EFFECTS = {
    "pair_word": {
        "removal": "taking it out {removes} the score by {mean:z.2f} of the usual gap; taking out another word by "
        "{control_mean:z.2f}",
        "transplant": "adding it to other captions {adds} the score by {mean:z.2f}; adding another word by "
        "{control_mean:z.2f}",
    },
    "pair_property": {
        "removal": "making its pictures like others {removes} the score by {mean:z.2f} of the usual gap; the opposite "
        "change by {control_mean:z.2f}",
        "transplant": "making other pictures like its own {adds} the score by {mean:z.2f}; the opposite change by "
        "{control_mean:z.2f}",
    },
}
"""The same for pairs, whose scores change by parts of the usual gap: how far the median pair scores above a shuffled
one. The second for kinds whose cue is no part of a picture."""


def of_pairs(row: Row) -> bool:
    """Whether a suspect is one of image-text pairs."""
    return str(row["kind"]).startswith("pair_")


def kind_name(kind: str) -> str:
    """What people call a kind; the kind itself when it is not known here."""
    return KINDS.get(kind, (kind, ""))[0]


def kind_meaning(kind: str) -> str:
    """A sentence on what a kind is; empty when it is not known here."""
    return KINDS.get(kind, ("", ""))[1]


def sentence(line: str) -> str:
    """A line with a capital letter at its start and a full stop at its end."""
    return line[:1].upper() + line[1:] + ("" if not line or line.endswith((".", "!", "?")) else ".")


def name(row: Row) -> str:
    """What the cue looks like: "alike patches at changing places"."""
    return str(row.get("name") or kind_name(row["kind"]))


def title(row: Row) -> str:
    """Class and cue: "bird: alike patches at changing places"."""
    return f"{row['class_name']}: {name(row)}" if row.get("class_name") else name(row)


def count_line(row: Row) -> str:
    """How many samples show the cue, and which share of which: "54 samples, 71% of those predicted as car"."""
    if not of_pairs(row):
        return f"{row['n']:,} samples, {row['share']:.0%} of those predicted as {row.get('class_name') or 'its class'}"
    worded = row["cue"].get("word") and row["kind"] != "pair_word"
    whole = f"those with the word “{row['cue']['word']}”" if worded else "all"
    return f"{row['n']:,} pairs, {row['share']:.0%} of {whole}"


def status_line(row: Row) -> str:
    """The status and why: "verified: the model uses the cue", and whether that is probably spurious."""
    about = {"verified": "the model uses the cue", "refuted": "changing the cue does not change the answer"}
    reason = row["evidence"].get("untested_because")
    if reason:
        about["unverified"] = f"not tested, {reason}"
    elif row["evidence"].get("effects"):
        about["unverified"] = "tested, but the changes do not lie clearly above those of the control"
    else:
        about["unverified"] = "not tested"
    said = f"{row['status']}: {about.get(row['status'], 'not decided')}"
    return f"{said}; probably spurious" if row["flagged"] else said


def headline(row: Row) -> str:
    """The one strongest sentence about a suspect; a suspect that was not tested says how common its cue is.

    Where `evidence_lines` says the same at more length, that line begins with this one.
    """
    effects = row["evidence"].get("effects") or {}
    if effects:
        first, second = ("mean", "control_mean") if of_pairs(row) else ("flips", "control_flips")
        ranked = sorted(effects.items(), key=lambda item: item[1][second] - item[1][first])
        best = min(ranked, key=lambda item: item[1]["verdict"] != "verified")[0]
        return _pair_effect(row, best) if of_pairs(row) else _short(row, best)
    return accuracy_line(row) or count_line(row)


def evidence_lines(row: Row) -> list[str]:
    """Everything that the evidence of a suspect says: looks, words, tests, accuracy, errors elsewhere, chance."""
    lines = _pair_lines(row) if of_pairs(row) else [*_looks(row), *_class_effects(row), *_consequences(row)]
    return [*lines, *_object(row), *_chance(row), *_untested(row), *_views(row)]


def brief_lines(row: Row) -> list[str]:
    """What the terminal says of the evidence: looks, tests, and errors elsewhere."""
    if of_pairs(row):
        return [*_pair_lines(row), *_untested(row), *_views(row)]
    effects, lines = row["evidence"].get("effects") or {}, _looks(row)
    if "removal" in effects:
        lines.append(_plain_effect(effects["removal"], "removing it lowers p by", "changes", "as much elsewhere"))
    if "transplant" in effects:
        pasting = "pasting it elsewhere raises p by"
        lines.append(_plain_effect(effects["transplant"], pasting, "turns", "as much of the rest"))
    called = _share(row, "called")
    elsewhere = f"seen in {called['n']} photos of other classes, {called['k']} of them called {row['class_name']}"
    return [*lines, *_untested(row), *_views(row), *([elsewhere] if called["n"] else [])]


def accuracy_line(row: Row) -> str:
    """Accuracy inside the class with and without the cue; empty without labels."""
    inside, outside = _share(row, "accuracy_with"), _share(row, "accuracy_without")
    if not inside["n"] or not outside["n"]:
        return ""
    return (
        f"with the cue {inside['k'] / inside['n']:.0%} of {inside['n']} samples of {row['class_name']} are right, "
        f"without it {outside['k'] / outside['n']:.0%} of {outside['n']}"
    )


def chance_line(about: Mapping[str, Any]) -> str:
    """What chance alone would give: "chance alone would give 0.2 such suspects: 5 searches on permuted predictions"."""
    chance = about.get("chance") or {}
    if not chance.get("permutations") or chance.get("expected_suspects") is None:
        return "what chance alone would give was not looked at"
    pairs = any(str(kind).startswith("pair_") for kind in chance.get("kinds") or {})
    searched = "captions dealt out to other pictures" if pairs else "permuted predictions"
    count, number = chance["expected_suspects"], chance["permutations"]
    searches = "search" if number == 1 else "searches"
    return f"chance alone would give {count:.1f} such suspects: {number} {searches} on {searched}"


# --- parts of the evidence --------------------------------------------------------------------------------------------


def _looks(row: Row) -> list[str]:
    """What it looks like, and what the texts say."""
    evidence, lines = row["evidence"], []
    if evidence.get("concept_words"):
        lines.append(f"looks like: {', '.join(word for word, _ in evidence['concept_words'])}")
    if evidence.get("words"):
        said = ", ".join(f"{word} ({share:.0%} against {other:.0%})" for word, share, other in evidence["words"])
        lines.append(f"{'texts' if row['kind'] == 'word' else 'captions'} say: {said}")
    return lines


def _class_effects(row: Row) -> list[str]:
    """What the interventions did, each with the change of the probability p, its interval and its control."""
    effects, lines = row["evidence"].get("effects") or {}, []
    for which, verb in (("removal", "falls"), ("transplant", "rises")):
        if which in effects:
            one = effects[which]
            lines.append(
                f"{_short(row, which)} (p {verb} by {one['mean']:z.2f}, 95% interval {one['low']:z.2f} to "
                f"{one['high']:z.2f}; control {one['control_mean']:z.2f}, {one['control_low']:z.2f} to "
                f"{one['control_high']:z.2f}; {one['n']} samples)"
            )
    return lines


def _short(row: Row, which: str) -> str:
    """An intervention on samples of a class and its control, by the share of answers that changed."""
    effect, words = row["evidence"]["effects"][which], EFFECTS.get(row["kind"], REGION)[which]
    did = words[0].format(f"{effect['flips']:.0%}", name=row.get("class_name") or "its class")
    return f"{did}; {words[1].format(format(effect['control_flips'], '.0%'))}"


def _plain_effect(effect: Row, did: str, turns: str, control: str) -> str:
    return (
        f"{did} {effect['mean']:.2f} and {turns} {effect['flips']:.0%} of the answers; {control}: "
        f"{effect['control_mean']:.2f} and {effect['control_flips']:.0%}"
    )


def _pair_lines(row: Row) -> list[str]:
    """Scores, words and tests of a suspect of pairs."""
    evidence, lines = row["evidence"], []
    if evidence.get("mean_score") is not None:
        lines.append(f"mean score {evidence['mean_score']:.3f}, of all pairs {evidence['usual_score']:.3f}")
    effects = evidence.get("effects") or {}
    return [*lines, *_looks(row), *(_pair_effect(row, which) for which in PAIR_EFFECTS if which in effects)]


def _pair_effect(row: Row, which: str) -> str:
    removes, adds = ("raises", "lowers") if row["class_name"] == LOW else ("lowers", "raises")
    words = {**PAIR_EFFECTS, **OTHER_PAIR_EFFECTS.get(row["kind"], {})}[which]
    return words.format(removes=removes, adds=adds, **row["evidence"]["effects"][which])


def _consequences(row: Row) -> list[str]:
    """What the labels say: accuracy with and without the cue, errors elsewhere, how many right answers show it."""
    called, without, leaning = (_share(row, which) for which in ("called", "called_without", "leaning"))
    lines = [accuracy_line(row)]
    if called["n"]:
        line = f"errors elsewhere: of {called['n']} samples of other classes with the cue {called['k']} are called "
        line += f"{row['class_name']}"
        lines.append(f"{line}; without it {without['k']} of {without['n']}" if without["n"] else line)
    if leaning["n"]:
        lines.append(f"{leaning['k']} of the {leaning['n']} right answers of the class show the cue")
    return [line for line in lines if line]


def _share(row: Row, which: str) -> Mapping[str, Any]:
    """{k, n} of a consequence; zeros where nothing is known."""
    return (row["evidence"].get("consequence") or {}).get(which) or {"k": 0, "n": 0}


def _object(row: Row) -> list[str]:
    share, usual = row["evidence"].get("object_share"), row["evidence"].get("object_usual")
    if share is None or usual is None:
        return []
    return [f"{share:.0%} of the cue's cells touch the object; of all cells {usual:.0%}"]


def _chance(row: Row) -> list[str]:
    expected = row["evidence"].get("expected_by_chance")
    return [] if expected is None else [f"expected by chance: {expected:.1f} of its kind as strong as this one"]


def _untested(row: Row) -> list[str]:
    reason = row["evidence"].get("untested_because")
    return [f"not tested: {reason}"] if reason else []


def _views(row: Row) -> list[str]:
    seen = row["evidence"].get("seen_as")
    return [f"the same {'pairs' if of_pairs(row) else 'photos'}: {', '.join(seen[:MOST_VIEWS])}"] if seen else []
