"""The last part of a report: method, coverage, versions, limits, and how to make it again. Pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dashboard import resume
from dashboard.data import Row
from dashboard.report.content import Table
from dashboard.report.options import LINK_BASE, MAX_MB, Options
from storage import Progress, RunRecord, address_of, wording

MOST_FAILURES, MOST_NOTES, MOST_NAMED = 5, 8, 40
METHODS = {
    "gae": "Generic Attention-model Explainability (Chefer et al., ICCV 2021)",
    "rollout": "attention rollout (Abnar and Zuidema, ACL 2020)",
    "raw_attention": "raw attention of the last explained layer",
    "grad_cam": "Grad-CAM on attention",
    "partial_lrp": "partial layer-wise relevance propagation",
    "lrp": "layer-wise relevance propagation",
    "transformer_attribution": "Transformer Attribution (Chefer et al., CVPR 2021)",
    "random": "random maps, a control",
}
TARGETS = {
    "predicted": "the score of the predicted class",
    "label": "the score of the labelled class",
    "both": "the scores of the predicted and of the labelled class",
    "answer": "the score of the answer",
    "clip-score": "the CLIPScore of picture and caption",
    "clip-logit": "the scaled cosine of picture and caption",
    "detections": "the class score of each detection",
}


def explained(record: RunRecord, about: Mapping[str, Any]) -> Table:
    """How the maps were made, and how suspects were looked for."""
    spec = record.spec
    method, target = str(spec.get("method") or "unknown"), str(spec.get("target") or "unknown")
    facts = [
        ("Model", str(record.model.get("name") or spec.get("model") or "unknown")),
        ("Method", f"{method}: {METHODS[method]}" if method in METHODS else method),
        ("What was explained", f"{target}: {TARGETS[target]}" if target in TARGETS else target),
        ("First explained layer", _layers(record)),
        ("Arithmetic", str(spec.get("precision") or "unknown")),
    ]
    return Table("Relevancy", [*facts, *_settings(about)] if about else facts)


def _layers(record: RunRecord) -> str:
    start = record.spec.get("start_layer", record.model.get("start_layer"))
    layers = record.model.get("layers") or {}
    said = "unknown" if start is None else f"{start}"
    if record.spec.get("text_start_layer") is not None:
        said += f" (text: {record.spec['text_start_layer']})"
    many = ", ".join(f"{n} in {name}" for name, n in layers.items())
    return f"{said}, of {many}; negative numbers count from the last" if many else said


def _settings(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = about.get("settings") or {}
    kinds = ", ".join(str(kind) for kind in told.get("kinds") or []) or "all"
    tested = (
        f"on at most {told.get('photos', '?')} samples each" if told.get("verify", True) else "not tested (--no-verify)"
    )
    facts = [
        ("Kinds of cues that were looked for", kinds),
        ("Suspects kept and tested", f"at most {told.get('top', '?')}, {tested}"),
        ("Chance", wording.sentence(wording.chance_line(about))),
        ("Seed", str(told.get("seed", "unknown"))),
    ]
    notes = [wording.sentence(str(note)) for note in about.get("notes") or []]
    facts += [("Note", note) for note in notes[:MOST_NOTES]]
    if not about.get("done", True):
        facts.append(("Not finished", "The search or its tests were interrupted; the same command goes on."))
    return facts


def coverage(progress: Progress, about: Mapping[str, Any], failures: Sequence[Row], state: str) -> Table:
    """How much of the dataset the report is about."""
    total = int(progress.samples or progress.explained + progress.failed)
    facts = [
        ("In the dataset", f"{total:,}"),
        ("Explained", f"{progress.explained:,}{_share(progress.explained, total)}"),
        ("Failed", f"{progress.failed:,}{_share(progress.failed, total)}"),
    ]
    rest = total - progress.explained - progress.failed
    if rest > 0:
        facts.append(("Not explained yet", f"{rest:,}{_share(rest, total)}"))
    facts += [("Failure", f"{row['n']:,} × {row['reason']}") for row in failures[:MOST_FAILURES]]
    if len(failures) > MOST_FAILURES:
        facts.append(("Other failures", f"{sum(row['n'] for row in failures[MOST_FAILURES:]):,}"))
    if about:
        searched = int(about.get("samples") or 0)
        facts.append(("Searched for suspects", f"{searched:,}{_share(searched, total)}"))
    return Table("Coverage", [*facts, ("State of the run", state)])


def _share(part: int, total: int) -> str:
    return f" ({part / total:.1%})" if total else ""


def versions(record: RunRecord) -> Table:
    """What made the run."""
    return Table("Versions", [(str(name), str(version)) for name, version in record.versions.items()])


def limits(record: RunRecord, about: Mapping[str, Any], *, labelled: bool) -> list[str]:
    """What such a report cannot show."""
    said = [
        "A cue is something that the model's answers go with. Models use honest parts of objects, too: that a cue is "
        "verified does not make it wrong. Whether it is wrong is for people who know the task to decide.",
        "“Verified” means that, in the tested samples, changing the cue changed the answers more than changing as much "
        "elsewhere. It says nothing of data that look different.",
        "“Probably spurious” is a cautious call by one rule. It misses shortcuts, and it can be mistaken.",
        "What is not listed may still be there: rare cues, cues that no detector looks for, and cues of samples that "
        "were not searched.",
        "Changed samples look like nothing that the model was trained on. The control, which changes as much "
        "elsewhere, is there to tell that effect apart; it cannot do so perfectly.",
        f"Relevancy maps tell where the score comes from by one method ({record.spec.get('method') or 'unknown'}). "
        "Another method, target or layer gives other maps.",
        "Intervals are 95 % intervals. With few tested samples they are wide, and among many suspects some miss.",
    ]
    if labelled:
        said.append("Accuracies are as good as the labels of the dataset.")
    else:
        said.append("There are no labels, so nobody can say here how often the model is right.")
    if about and about.get("samples") and int(about["samples"]) < int(about.get("total") or 0):
        said.append(
            f"Cues were looked for in {int(about['samples']):,} of {int(about['total']):,} samples: in the others a "
            "cue may be there unseen, and count as absent."
        )
    return said


def search_command(run: str, store: Path, about: Mapping[str, Any]) -> str:
    """The command that looks for suspects."""
    told, words = about.get("settings") or {}, ["python", "-m", "jobs", "suspects", run, "--store", address_of(store)]
    for name in ("top", "photos", "permutations", "seed", "sample", "name_with", "vocabulary"):
        if told.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(told[name])]
    words += [] if told.get("verify", True) else ["--no-verify"]
    return shlex.join(words)


def report_command(run: str, store: Path, options: Options, out: str = "") -> str:
    """The command that makes this report."""
    words = ["python", "-m", "jobs", "report", run, "--store", address_of(store)]
    for name in options.suspects:
        words += ["--suspect", name]
    words += ["--flagged"] if options.flagged else []
    words += [] if options.top is None else ["--top", str(options.top)]
    words += [] if options.format == "html" else ["--format", options.format]
    words += [] if options.max_mb == MAX_MB else ["--max-mb", f"{options.max_mb:g}"]
    words += [] if options.link_base == LINK_BASE else ["--link-base", options.link_base]
    words += ["--static"] if options.static else []
    words += ["--title", options.title] if options.title else []
    return shlex.join([*words, *(["--out", out] if out else [])])


def commands(record: RunRecord, store: Path, about: Mapping[str, Any], options: Options) -> list[tuple[str, str]]:
    """(what it does, command), in the order in which one repeats an audit."""
    look_for = (
        "Look for suspects, and test them" if about else "Look for suspects, which nobody has done in this run yet"
    )
    return [
        ("Explain the dataset (a finished run is left as it is)", resume.command(record, store)),
        (look_for, search_command(record.run_id, store, about)),
        ("Make this report", report_command(record.run_id, store, options)),
        ("Open the dashboard", shlex.join(["python", "-m", "dashboard", "--store", address_of(store)])),
    ]
