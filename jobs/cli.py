"""`python -m jobs COMMAND`.

Exit codes: 0 done; 1 done, with more failed samples than `--max-failures`; 2 wrong use or input, with one line on
stderr; 130 interrupted. Heavy libraries are imported inside the commands that need them: `list` must not wait for
torch.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer

from jobs.console import complain, emit_json, reasons, say, table
from jobs.errors import Interrupted
from jobs.surroundings import private, quieten, share_cores

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Explain every sample of a dataset, and look after the runs in a store.",
)
demo_app = typer.Typer(rich_markup_mode=None)
app.add_typer(demo_app, name="demo", help="The built-in audit: scenes with planted shortcuts, two small models.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, all else on stderr.")]
StoreOption = Annotated[str, typer.Option("--store", metavar="DIR", help="The store's folder.")]
AllowOutside = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER",
        help="A manifest may name files below this folder too, not only below its own; may be repeated.",
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show where an error came from, and library warnings.")]
MOST_FAILURES = 10  # that `features` names one by one
ERRORS = {"jobs.errors": "JobError", "engine.errors": "EngineError", "storage.errors": "StoreError"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    verbose = "--verbose" in arguments
    share_cores()
    private()
    if not verbose:
        quieten()
    try:
        return _commands().main(arguments, prog_name="python -m jobs", standalone_mode=False) or 0
    except Interrupted as error:
        complain(str(error), kind="")
        return 130
    except Exception as error:
        if verbose:
            _show_trace(error)
        complain(_message(error))
        return 2


def _show_trace(error: Exception) -> None:
    from storage.media.secrets import shown

    sys.stderr.write(shown("".join(traceback.format_exception(error))))


@cache
def _commands() -> Any:
    """All commands; reading their options takes longer than most of them."""
    return typer.main.get_command(app)


def _message(error: Exception) -> str:
    """One line for people; for an error that nobody foresaw, a line that says so."""
    if isinstance(error, typer.TyperException):
        return error.format_message() if hasattr(error, "format_message") else str(error)
    for module, name in ERRORS.items():
        known = sys.modules.get(module)  # a class that was never imported was never raised
        if known is not None and isinstance(error, getattr(known, name)):
            return str(error)
    if isinstance(error, OSError) and error.filename is not None:  # the system names the file and what is wrong with it
        return f"{error.filename}: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error} (--verbose shows where)"


@app.command()
def run(
    data: Annotated[str, typer.Option(metavar="PATH", help="Folder, manifest, WebDataset shards, or saved dataset.")],
    model: Annotated[str, typer.Option(metavar="NAME", help="timm:NAME, open_clip:NAME[/TAG], hf:REPO or a folder.")],
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="Weights: safetensors, or .pt.")] = None,
    store: StoreOption = "audits",
    method: Annotated[str, typer.Option(help="See the command `methods`.")] = "gae",
    target: Annotated[
        str | None,
        typer.Option(
            help="predicted, answer, label, both, class:NAME, contrast:A,B, clip-logit, clip-score, detections."
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Classify with an image-text model: one class per line, JSON {class: [prompt, ...]}, or 'labels'.",
        ),
    ] = None,
    templates: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Texts for --classes: plain, simple, openai, or a file of texts with {} [default: plain].",
        ),
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="Detections at least so probable [default: 0.7].")] = None,
    max_detections: Annotated[int | None, typer.Option(help="At most so many per picture [default: 20].")] = None,
    start_layer: Annotated[int | None, typer.Option(help="First explained layer [default: the model's own].")] = None,
    text_start_layer: Annotated[
        int | None,
        typer.Option(help="The same for the text tower of an image-text model [default: --start-layer, or 0]."),
    ] = None,
    on_zero_row: Annotated[
        str, typer.Option(help="0/0 in the normalisation: as in the authors' code (authors), or left out (identity).")
    ] = "authors",
    patches: Annotated[
        int, typer.Option(help="Most relevant patches whose token states are stored, for `suspects` (0: none).")
    ] = 8,
    words: Annotated[
        int, typer.Option(help="Image-text scores: also map what the score owes to so many words of each text.")
    ] = 0,
    evidence: Annotated[
        bool, typer.Option("--evidence", help="Image-text scores: also check every map by deletion, beside random.")
    ] = False,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or fp16.")] = "fp32",
    decode: Annotated[
        str,
        typer.Option(help="JPEGs: exact, or fast (at 1/2 to 1/8 of their size where the model shrinks them anyway)."),
    ] = "exact",
    limit: Annotated[int | None, typer.Option(help="At most so many samples.")] = None,
    allow_outside: AllowOutside = None,
    batch_size: Annotated[int | None, typer.Option(help="[default: chosen to fit]")] = None,
    workers: Annotated[int | None, typer.Option(help="Decoding processes [default: one per core, at most 8].")] = None,
    part_size: Annotated[int, typer.Option(help="Samples that are stored, and resumed, together.")] = 256,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    launcher: Annotated[str, typer.Option(help="local, or ray (pip install -r requirements-ray.txt).")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="Ray: the cluster's address, or auto [default: this machine alone].")
    ] = None,
    ray_workers: Annotated[
        int | None, typer.Option(help="Ray: processes with a model each [default: one per GPU, or per 8 cores].")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The run's name [default: from data, model and method].")] = None,
    max_failures: Annotated[int | None, typer.Option(help="Exit with 1 when more samples fail.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Explain every sample of a dataset into the store. The same command again goes on where it stopped."""
    from jobs.spec import RunSpec

    spec = RunSpec(
        data=data,
        model=model,
        checkpoint=checkpoint,
        method=method,
        target=target,
        classes=classes,
        templates=templates,
        start_layer=start_layer,
        text_start_layer=text_start_layer,
        on_zero_row=on_zero_row,
        threshold=threshold,
        max_detections=max_detections,
        patches=patches,
        words=words,
        evidence=evidence,
        precision=precision,
        decode=decode,
        limit=limit,
        allow_outside=tuple(allow_outside or ()),
        store=store,
        name=name,
        part_size=part_size,
        batch_size=batch_size,
        workers=workers,
        device=device,
        launcher=launcher,
        ray_address=ray_address,
        ray_workers=ray_workers,
    ).checked()
    with _interruptible():
        from jobs.run import run_audit

        result = run_audit(spec, _display())
    if json:
        emit_json(result.to_json())
    else:
        say("\n".join(_run_lines(result, spec)))
    allowed = sys.maxsize if max_failures is None else max_failures
    return 1 if result.total_failed > allowed or not result.total_explained else 0


@app.command()
def features(
    data: Annotated[str, typer.Option(metavar="PATH", help="Folder of pictures, or manifest.")],
    detector: Annotated[
        str, typer.Option(metavar="NAME", help="torchvision:fasterrcnn_resnet50_fpn, or hf:FOLDER_OR_REPO of a DETR.")
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="The manifest to write, a .parquet file.")],
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="Weights: safetensors, or .pt.")] = None,
    regions: Annotated[int, typer.Option(help="At most so many regions per picture.")] = 36,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    limit: Annotated[int | None, typer.Option(help="At most so many samples.")] = None,
    allow_outside: AllowOutside = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find regions in every picture and write a manifest with their features, for models that answer from regions."""
    with _interruptible():
        from jobs.device import chosen_device
        from jobs.extract.command import extract_features

        result = extract_features(
            data,
            detector,
            out,
            checkpoint=checkpoint,
            regions=regions,
            device=chosen_device(device),
            limit=limit,
            allow_outside=tuple(allow_outside or ()),
            reporter=_display(),
        )
    if json:
        emit_json(result.to_json())
        return
    say(f"{result.path}: {result.rows} rows, at most {result.regions} regions of {result.width} numbers each")
    for failure in result.failures[:MOST_FAILURES]:
        say(f"failed: {failure['image']}: {failure['reason']}")
    if result.failed > MOST_FAILURES:
        say(f"and {result.failed - MOST_FAILURES} more failed (--json lists all)")


@contextmanager
def _interruptible(message: str = "interrupted, run the same command to go on") -> Iterator[None]:
    """Treat SIGTERM (a stopped container or job) like Ctrl-C, and Ctrl-C at any time as an ordinary end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(message) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _display() -> Any:
    """A progress bar for a terminal, plain lines for a log."""
    from jobs.pipeline.progress import Bar, Lines

    return Bar() if sys.stderr.isatty() else Lines()


def _run_lines(result: Any, spec: Any) -> list[str]:
    """A short account of a run, and what to do next."""
    done = f"{result.explained} of {result.samples} samples explained"
    if result.skipped and not result.explained and not result.failed:
        lines = [f"{result.run}: nothing to do, all {result.samples} samples were done before"]
    elif result.skipped:
        lines = [f"{result.run}: {done} now, {result.skipped} were done before"]
    else:
        speed = f"{result.seconds:.1f} s ({result.samples_per_second:.1f} per second)"
        lines = [f"{result.run}: {done} in {speed}"]
    if result.total_failed:
        lines.append(f"{result.total_failed} failed: {reasons(result.failures)}")
    if result.accuracy is not None:
        lines.append(f"accuracy {result.accuracy:.1%} of {result.labelled} labelled samples")
    lines += [f"note: {count} x {remark}" for remark, count in result.remarks.items()]
    from jobs.overview import zero_rows_text

    lines += [f"note: {line}" for line in zero_rows_text(result.zero_rows, {"on_zero_row": spec.on_zero_row})]
    if result.total_explained:
        lines.append(f"look at them: {result.dashboard}")
    return lines


@app.command()
def suspects(
    run: Annotated[str | None, typer.Argument(help="[default: the newest run]")] = None,
    store: StoreOption = "audits",
    top: Annotated[int, typer.Option(help="Suspects that are kept and tested.")] = 12,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="concept, location, property, word; for image-text runs pair_mismatch, pair_mark, pair_cue, "
            "pair_place, pair_property, pair_word, pair_unsupported; may be repeated [default: all]."
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Test them by intervention; needs the pictures and the model.")] = True,
    photos: Annotated[int, typer.Option(help="Photos per suspect that are intervened on.")] = 20,
    permutations: Annotated[int, typer.Option(help="Searches on permuted predictions, to know chance.")] = 5,
    sample: Annotated[int, typer.Option(help="Samples that are searched, at random if there are more.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    data: Annotated[str | None, typer.Option(metavar="PATH", help="Where the run's data lie now.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Where the run's model lies now.")] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="Where its weights lie now.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Pictures that the model sees at once.")] = 32,
    again: Annotated[bool, typer.Option("--again", help="Test again what an earlier call has tested.")] = False,
    name_with: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="An image-text model (CLIP, SigLIP) that says what they look like."),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Words for it, one per line [default: words for marks, colours, materials, things]."
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find the cues that predictions go with, test each by intervention, and rank them."""
    from jobs.suspects.spec import SuspectsSpec

    spec = SuspectsSpec(
        run=run,
        store=store,
        top=top,
        kinds=tuple(kind or ()),
        verify=verify,
        photos=photos,
        permutations=permutations,
        sample=sample,
        seed=seed,
        data=data,
        model=model,
        checkpoint=checkpoint,
        device=device,
        batch_size=batch_size,
        again=again,
        name_with=name_with,
        vocabulary=vocabulary,
    ).checked()
    with _interruptible():
        from jobs.suspects.command import find_suspects
        from jobs.suspects.show import Steps, suspect_lines

        with Steps() as steps:
            result = find_suspects(spec, steps)
    emit_json(result.to_json()) if json else say("\n".join(suspect_lines(result)))


@app.command("evaluate")
def evaluate_(
    run: Annotated[str | None, typer.Argument(help="[default: the newest run]")] = None,
    store: StoreOption = "audits",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="vit, lxmert, visualbert (the paper's perturbation), deletion, insertion, segmentation, localisation, "
            "coco, randomisation, similarity; may be repeated [default: all that fit the run and its data]."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="A method to compare; may be repeated [default: the run's own and the paper's baselines]."),
    ] = None,
    ablations: Annotated[bool, typer.Option("--ablations", help="Compare the ablations of GAE too.")] = False,
    samples: Annotated[int, typer.Option(help="Samples that are tested, at random if there are more.")] = 200,
    fill: Annotated[
        list[str] | None,
        typer.Option(help="What pixels become in deletion and insertion: mean, blur, zero [default: mean and blur]."),
    ] = None,
    annotations: Annotated[
        str | None, typer.Option(metavar="FILE", help="Masks in COCO's format, for detectors.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    data: Annotated[str | None, typer.Option(metavar="PATH", help="Where the run's data lie now.")] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Where the run's model lies now.")] = None,
    checkpoint: Annotated[str | None, typer.Option(metavar="FILE", help="Where its weights lie now.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Inputs that the model sees at once.")] = 32,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Test how far maps can be trusted: take away what they call relevant, compare with masks, break the model."""
    from jobs.evaluate.spec import EvaluateSpec

    spec = EvaluateSpec(
        run=run,
        store=store,
        protocols=tuple(protocol or ()),
        methods=tuple(method or ()),
        ablations=ablations,
        samples=samples,
        seed=seed,
        fills=tuple(fill or ("mean", "blur")),
        annotations=annotations,
        data=data,
        model=model,
        checkpoint=checkpoint,
        device=device,
        batch_size=batch_size,
    ).checked()
    with _interruptible():
        from jobs.evaluate.command import evaluate
        from jobs.evaluate.show import evaluation_lines
        from jobs.suspects.show import Steps

        with Steps() as steps:
            result = evaluate(spec, steps)
    emit_json(result.to_json()) if json else say("\n".join(evaluation_lines(result)))


@app.command("annotations")
def annotations_(
    kind: Annotated[
        str,
        typer.Argument(
            help="coco, coco-categories, coco-captions, voc, imagenet-s, imagenet-segmentation, masks, vqa, lxmert, "
            "flickr30k."
        ),
    ],
    paths: Annotated[list[str], typer.Argument(help="Its files and folders, see docs/public-benchmarks.md.")],
    out: Annotated[str, typer.Option(metavar="FILE", help="The manifest: .parquet, .csv, .tsv or .jsonl.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Turn public annotations (COCO, VOC, ImageNet-S, VQA v2, Flickr30k) into a manifest for `run --data`."""
    from jobs.readers.annotations.command import write_manifest

    done = write_manifest(kind, paths, out)
    if json:
        emit_json(done)
        return
    say(f"{done['path']}: {done['rows']} rows with {', '.join(done['columns'])}")
    for reason, count in done["skipped"].items():
        say(f"left out: {count} x {reason}")
    for note in done["notes"]:
        say(f"note: {note}")


@app.command("compare")
def compare_(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="The run that is compared with, as the older one.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="Another run of the same dataset.")],
    store: StoreOption = "audits",
    target: Annotated[str | None, typer.Option(help="[default: the first that both runs explained]")] = None,
    modality: Annotated[
        str | None, typer.Option(help="image or text [default: image where there are pictures]")
    ] = None,
    top: Annotated[int, typer.Option(help="Samples that are listed.")] = 50,
    threshold: Annotated[
        float, typer.Option(help="Share of the relevancy that must leave the object to be listed (0..1).")
    ] = 0.2,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Compare two runs of one dataset: changed predictions, and samples whose relevancy moved."""
    from jobs.compare import compare_runs, compare_text

    document = compare_runs(store, run_a, run_b, target=target, modality=modality, top=top, threshold=threshold)
    emit_json(document) if json else say(compare_text(document, store))


@app.command()
def report(
    run: Annotated[str | None, typer.Argument(help="[default: the newest run]")] = None,
    store: StoreOption = "audits",
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="[default: RUN-report.html in the working directory]")
    ] = None,
    format: Annotated[
        str | None, typer.Option(help="html, md or csv [default: from the ending of --out, else html].")
    ] = None,
    suspect: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="A suspect; may be repeated [default: all].")
    ] = None,
    flagged: Annotated[bool, typer.Option("--flagged", help="Only suspects that are probably spurious.")] = False,
    top: Annotated[int | None, typer.Option(help="At most so many suspects.")] = None,
    max_mb: Annotated[float, typer.Option(help="Most megabytes of an HTML file; pictures shrink to fit.")] = 5.0,
    link_base: Annotated[
        str, typer.Option(metavar="URL", help="The dashboard that every case links to; '' for no links.")
    ] = "http://127.0.0.1:8501",
    static: Annotated[bool, typer.Option("--static", help="No charts that can be explored.")] = False,
    title: Annotated[str, typer.Option(help="[default: one that names the run]")] = "",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make one file about a run that opens without a network: suspects, evidence, verdicts, method, limits."""
    with _interruptible("interrupted, no report was written"):
        from jobs.report import make_report, report_arguments, report_text

        document = make_report(
            report_arguments(
                run,
                store=store,
                out=out,
                format=format,
                suspects=suspect or (),
                flagged=flagged,
                top=top,
                max_mb=max_mb,
                link_base=link_base,
                static=static,
                title=title,
            )
        )
    emit_json(document) if json else say(report_text(document))


@app.command("list")
def list_(store: StoreOption = "audits", json: Json = False, verbose: Verbose = False) -> None:
    """All runs of a store, newest first."""
    from jobs import overview

    rows = overview.runs(store)
    emit_json(rows) if json else say(overview.runs_text(rows, store))


@app.command()
def status(
    run: Annotated[str | None, typer.Argument(help="[default: the newest run]")] = None,
    store: StoreOption = "audits",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Progress, coverage and failures of one run."""
    from jobs import overview

    row = overview.status(store, run)
    emit_json(row) if json else say(overview.status_text(row, store))


@app.command()
def models(json: Json = False, verbose: Verbose = False) -> None:
    """Supported models, and the names to type."""
    from engine import list_models

    rows = list_models()
    columns = {"name": "name", "family": "family", "task": "task", "library": "library"}
    emit_json(rows) if json else say(table(rows, columns))


@app.command()
def methods(json: Json = False, verbose: Verbose = False) -> None:
    """Explanation methods, and the papers they come from."""
    from engine import list_methods

    rows = list_methods()
    emit_json(rows) if json else say(table(rows, {"name": "name", "description": "description", "paper": "paper"}))


@demo_app.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    store: StoreOption = "audits",
    data: Annotated[str, typer.Option(metavar="DIR", help="Where the pictures are painted.")] = "demo_data",
    limit: Annotated[int | None, typer.Option(help="Pictures per split.")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Paint scenes with planted shortcuts, audit two small models on them, and say what was found."""
    if context.invoked_subcommand is not None:
        return
    with _interruptible():
        from jobs.demo.command import run_demo
        from jobs.suspects.show import Steps

        result = run_demo(store, data, limit=limit, reporter=_display, steps=Steps())
    if json:
        emit_json(result.to_json())


@demo_app.command()
def train(
    out: Annotated[str | None, typer.Option(metavar="DIR", help="[default: the committed weights]")] = None,
    seed: Annotated[int | None, typer.Option(help="[default: that of the committed weights]")] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Train the two demo models from nothing but a seed."""
    with _interruptible():
        from jobs.demo import train as training

        report = training.train_demo(out or training.WEIGHTS, seed=training.SEED if seed is None else seed)
    if json:
        emit_json(report)
