"""Sample: one picture in full, with its maps, classes, words and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import bars, charts, filters, frame, looks, state, tiles, words
from dashboard.data import Row, Run
from dashboard.samples import chips, saved, similar, tagging
from dashboard.selection import Selection, clip, state_to_params
from dashboard.tiles import MissingPicture
from storage import ColumnInfo, SampleQuery, StoreError
from storage.media.secrets import shown as without_keys

SIDE = 900  # pixels of the longer side of the large picture
MAX_TARGETS = 3  # side by side
ROOM = {1: 560, 2: 315, 3: 230}  # pixels that each of so many pictures has on a common screen
VECTORS = (
    "tokens",
    "top_tokens",
    "top_indices",
    "top_probs",
    "regions",
    "words",
    "word_starts",
    "word_ends",
    "token_words",
)


def goto(sample_id: int | None) -> None:
    """Choose another sample."""
    if sample_id is not None:
        state.change(sample=sample_id)


def goto_position(run: Run, query: SampleQuery, position: int) -> None:
    """Choose the sample at a place of the order, from 1."""
    found = run.page(query, position, 1, ())
    goto(int(found[0]["sample_id"]) if found else None)


def steps(run: Run, query: SampleQuery, chosen: Selection, sample_id: int) -> None:
    """Previous and next under all that narrows and in the order, any place of it, and the way back to the gallery."""
    before, after, position, total = run.neighbours(query, sample_id)
    page = (position - 1) // chosen.size + 1 if position else chosen.page
    back = replace(chosen, page=page, sample=None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.page_link(
            "app_pages/samples.py",
            label="Back to samples",
            icon=":material/grid_view:",
            width="content",
            query_params=state_to_params(back),
        )
        st.button(
            "Previous",
            icon=":material/chevron_left:",
            shortcut="Left",
            disabled=before is None,
            on_click=goto,
            args=(before,),
            key="previous",
        )
        st.button(
            "Next",
            icon=":material/chevron_right:",
            icon_position="right",
            shortcut="Right",
            disabled=after is None,
            on_click=goto,
            args=(after,),
            key="next",
        )
        place = f"{position:,} of {total:,}" if position else f"not among the {total:,} samples of the current filters"
        st.caption(f"{place}{', filtered' if chosen.narrowed else ''}", width="content")
        if total > 1:
            with st.container(horizontal=True, vertical_alignment="center", width="content"):
                st.caption("Go to", width="content")
                st.number_input(
                    "Go to position",
                    1,
                    total,
                    step=1,
                    width=130,
                    label_visibility="collapsed",
                    **state.control("goto_position", position, lambda k: goto_position(run, query, k or 1)),
                )
        chips.draw(run, run.columns(), chosen)


def heading(sample: Row, main: Row) -> None:
    """Number, verdict and file."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(f"Sample {sample['sample_id']}", width="content")
        if main.get("correct"):
            st.badge("right", icon=":material/check_circle:", color="green")
        elif main.get("correct") is not None:
            st.badge("wrong", icon=":material/cancel:", color="red")
        st.text(clip(without_keys(str(sample["uri"])), 160), width="content")


def why(row: Row, sample: Row, class_names: Sequence[str] | None) -> str:
    """What a map explains, in words."""
    target, index = str(row["target"]), row.get("target_index")
    name = class_names[index] if class_names and index is not None and 0 <= index < len(class_names) else index
    if target == "predicted":
        return f"Why {clip(str(row.get('predicted') or name), 40)} (the prediction)"
    if target == "label":
        return f"Why {clip(str(sample.get('label') or name), 40)} (the label)"
    if target == "answer":
        return f"Why {clip(str(row.get('predicted') or name), 40)} (the answer)"
    if row.get("query") is not None and row.get("box"):
        return f"Why {clip(str(row.get('predicted') or name), 40)} in the outlined box"
    if row.get("word"):
        return f"What the score owes to '{clip(str(row['word']), 40)}'"
    known = {
        "clip-logit": "Why picture and text match (CLIP logit)",
        "clip-score": "Why picture and text match (CLIP score)",
    }
    return known.get(target, f"Why {clip(target, 60)}")


def maps(run: Run, sample: Row, rows: list[Row], chosen: Selection, grid: Any) -> None:
    """The picture once per target, side by side in the cells of a grid; a single one is twice as wide."""
    found = run.maps([(row["sample_id"], row["target"]) for row in rows], "image")
    for row in rows:
        with grid.cell(column_span=2 if len(rows) == 1 else 1):
            st.text(why(row, sample, run.class_names), wrap=False, width="stretch")
            st.caption(score_line(row))
            picture(run, sample, row, found.get((row["sample_id"], row["target"])), chosen, ROOM[len(rows)])


def score_line(row: Row) -> str:
    """The explained score; for a detection how sure the model is, and which query it was."""
    score = f"score {row['score']:.4g}"
    if row.get("query") is None or not row.get("box"):
        return score
    return f"{row['confidence']:.1%} sure, {score}, query {row['query']}"


def detections(explanations: list[Row], main: Row) -> None:
    """Which of the detected objects is shown, where the run has detections."""
    found = {row["target"]: row for row in explanations if str(row["target"]).startswith("detection:")}
    if len(found) < 2:
        return
    st.pills(
        f"{len(found)} detections, most confident first",
        list(found),
        required=True,
        format_func=lambda target: detection_name(found[target]),
        **state.control("detection", main["target"], lambda v: state.change(target=v)),
    )


def detection_name(row: Row) -> str:
    """`2 · boat 97%`."""
    number = int(str(row["target"]).removeprefix("detection:")) + 1
    return f"{number} · {words.literal(clip(str(row.get('predicted')), 24))} {row.get('confidence') or 0:.0%}"


def picture(run: Run, sample: Row, row: Row, relevancy: Any, chosen: Selection, room: int) -> None:
    """The painted picture with the values of the tokens under the pointer, or why there is none."""
    try:
        jpeg, size = tiles.large(run, {**sample, **row}, relevancy, chosen.look, SIDE)
    except MissingPicture as problem:
        st.warning(
            words.literal(without_keys(f"{sample['uri']}: {problem}.")),
            title="No picture to show",
            icon=":material/broken_image:",
        )
        return
    layer = tiles.laid_out(run, sample, relevancy)
    figure = charts.picture(jpeg, size, layer, tiles.view_of(sample), chosen.look.colormap, room)
    st.plotly_chart(
        figure,
        config=charts.CONFIG,
        key=f"picture_{row['target']}",
        alt=f"Sample {sample['sample_id']} with the relevancy for target {row['target']}",
    )
    if not tiles.is_there(run, sample):
        st.caption("The picture itself is missing: its regions are drawn on an empty ground.")


def facts(sample: Row, row: Row) -> None:
    """Label, prediction and confidence."""
    sure = None if row.get("confidence") is None else f"{row['confidence']:.1%}"
    rows = [("Label", sample.get("label")), ("Prediction", row.get("predicted")), ("Confidence", sure)]
    shown = [(name, value) for name, value in rows if value is not None]
    if not shown:
        return
    with st.grid(len(shown), min_column_width=84, gap="xsmall"):
        for name, value in shown:
            with st.container(border=True, gap=None):
                st.caption(name)
                st.text(clip(str(value), 60))


def classes(run: Run, sample: Row, row: Row) -> None:
    """The best classes of the model."""
    indices, probabilities = row.get("top_indices"), row.get("top_probs")
    if not indices or not probabilities:
        return
    names = run.class_names
    shown = [names[i] if names and 0 <= i < len(names) else str(i) for i in indices]
    label = sample.get("label")
    st.subheader("Top classes")
    st.html(bars.top_classes(shown, probabilities, label))
    if label is not None and label not in shown:
        st.text(f"The label, {clip(str(label), 60)}, is not among them.")


def text(run: Run, sample: Row, rows: list[Row], chosen: Selection) -> None:
    """The caption with each word on the colour of its relevancy."""
    if sample.get("text") is None:
        return
    st.subheader("Question" if any(row["target"] == "answer" for row in rows) else "Text")
    tokens = sample.get("tokens") or []
    found = run.maps([(row["sample_id"], row["target"]) for row in rows], "text") if tokens and rows else {}
    for row in rows:
        relevancy = found.get((row["sample_id"], row["target"]))
        if relevancy is not None:
            if len(found) > 1:
                st.text(f"{why(row, sample, run.class_names)}  ·  score {row['score']:.4g}")
            st.html(words.tinted(words.shown(sample, relevancy), chosen.look.colormap))
    if found:
        unread = " The text was too long for the model: its end was not read." if sample.get("text_cut") is True else ""
        st.caption(
            "Colour: relevancy, least to most relevant word of this text. Rest the pointer on a word for its value."
            + unread
        )
    with st.container(border=True, gap=None):
        st.caption("As it stands in the dataset")
        st.text(clip(str(sample["text"]), 3000))


def values(columns: Mapping[str, ColumnInfo], sample: Row, explanations: list[Row]) -> None:
    """Everything that is stored about the sample, as text."""
    metadata = [name for name, info in columns.items() if info.group == "metadata"]
    table("Metadata", columns, [n for n in metadata if sample.get(n) is not None], {"value": sample})
    many = len(explanations) > 1
    maps = {f"{row['target']}, {row['modality']}" if many else "value": row for row in explanations}
    names = [n for n in explanations[0] if n not in VECTORS and n not in ("sample_id", "target", "modality")]
    table("Explanation", columns, [n for n in names if any(row.get(n) is not None for row in explanations)], maps)
    rest = [n for n in sample if n not in metadata and n not in VECTORS and sample[n] is not None]
    table("Sample", columns, rest, {"value": sample})


def table(title: str, columns: Mapping[str, ColumnInfo], names: list[str], rows: Mapping[str, Row]) -> None:
    """One line per column of the store, one column per row of it."""
    if not names:
        return
    st.subheader(title)
    config = {
        "name": st.column_config.TextColumn("Column", pinned=True),
        "meaning": st.column_config.TextColumn("Meaning", width="large"),
    }
    st.dataframe(
        [
            {
                "name": filters.title(columns[n]) if n in columns else n,
                **{key: plain(row.get(n)) for key, row in rows.items()},
                "meaning": columns[n].description if n in columns else "",
            }
            for n in names
        ],
        hide_index=True,
        height="content",
        alt=f"{title}: names, values and meanings",
        column_config={
            **config,
            **{key: st.column_config.TextColumn("Value" if key == "value" else clip(key, 40)) for key in rows},
        },
    )


def plain(value: Any) -> str:
    """A value as text."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(plain, value))
    return f"{value:.4g}" if isinstance(value, float) else clip(str(value), 2000)


def missing(chosen: Selection, problem: str) -> None:
    """A sample that the run does not have."""
    st.title(f"Sample {chosen.sample}")
    st.info(words.literal(problem), icon=":material/search_off:")
    st.page_link(
        "app_pages/samples.py",
        label="Back to samples",
        icon=":material/grid_view:",
        query_params=state_to_params(replace(chosen, sample=None)),
    )


def show(run: Run, query: SampleQuery, chosen: Selection, sample: Row, explanations: list[Row]) -> None:
    """All there is about one sample."""
    targets = [t for t in run.targets() if any(row["target"] == t for row in explanations)]
    explanations = sorted(explanations, key=lambda row: (targets.index(row["target"]), row["modality"]))
    main = next((row for row in explanations if row["target"] == chosen.target), explanations[0])
    detected = str(main["target"]).startswith("detection:")
    number = int(sample["sample_id"])
    steps(run, query, chosen, number)
    heading(sample, main)
    tagging.of_sample(run, chosen, number)
    if not run.has_pictures:
        reading(run, sample, explanations, main, chosen)
        return
    with st.container(horizontal=True, vertical_alignment="top"):
        looks.controls()
        if len(targets) > 1 and not detected:
            st.segmented_control(
                "Targets",
                ["all", "one"],
                required=True,
                default="all",
                key="side_by_side",
                format_func={"all": "Side by side", "one": "The chosen one"}.__getitem__,
            )
    detections(explanations, main)
    together = len(targets) > 1 and not detected and st.session_state.get("side_by_side") != "one"
    shown = targets[:MAX_TARGETS] if together else [main["target"]]
    images = [row for row in explanations if row["modality"] == "image" and row["target"] in shown]
    texts = [row for row in explanations if row["modality"] == "text" and row["target"] in shown]
    if images and detected and not any(images[0].get(name) for name in ("mass", "entropy")):
        nothing_to_show(run, images[0])
    elif images:
        looks.legend([sample])
    grid = st.grid(max(len(images), 2) + 1, min_column_width=210, gap="medium")
    maps(run, sample, images, chosen, grid)
    with grid.cell():
        facts(sample, main)
        classes(run, sample, main)
        text(run, sample, texts, chosen)
    similar.draw(run, chosen, number)
    values(run.columns(), sample, [row for row in explanations if not detected or row is main])


def nothing_to_show(run: Run, row: Row) -> None:
    """A map of zeros is a result; say where it may come from."""
    dropped = row.get("zero_rows") and run.record.spec.get("on_zero_row", "authors") == "authors"
    st.info(
        "The relevancy of this detection is zero everywhere."
        + (
            " A row of zeros was met in its normalisation (0/0), and as in the authors' code the whole step was "
            "dropped; a run with --on-zero-row identity keeps it."
            if dropped
            else ""
        ),
        icon=":material/info:",
    )


def reading(run: Run, sample: Row, explanations: list[Row], main: Row, chosen: Selection) -> None:
    """A text without a picture: its words wide, facts and classes beside them."""
    with st.container(horizontal=True):
        looks.colors()
    grid = st.grid(3, min_column_width=210, gap="medium")
    with grid.cell(column_span=2):
        text(run, sample, explanations, chosen)
    with grid.cell():
        facts(sample, main)
        classes(run, sample, main)
    similar.draw(run, chosen, int(sample["sample_id"]))
    values(run.columns(), sample, explanations)


def page() -> None:
    """The whole page."""
    run, chosen = frame.run(), state.current()
    if not run.progress().explained:
        st.title("Sample")
        frame.no_samples(run)
        return
    with st.sidebar:
        saved.popover(run, "sample")
    query = frame.query(chosen)
    if chosen.sample is None:
        everything = Selection(run=chosen.run, target=chosen.target, modality=chosen.modality)
        first = run.page(query, 1, 1, ()) or run.page(everything.query, 1, 1, ())
        state.change(sample=int(first[0]["sample_id"]))
        state.write_url()
        chosen = state.current()
    try:
        found = run.sample(int(chosen.sample or 0))
    except StoreError as problem:
        missing(chosen, f"{problem}.")
        return
    show(run, query, chosen, found["sample"], found["explanations"])


page()
