"""The part of the page of CLIP scores that is about one pair: its maps, its words, its falls, another caption."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import charts as common
from dashboard import live, overlays, state, tiles
from dashboard.data import Run
from dashboard.live import LivePair
from dashboard.overlays import Look
from dashboard.scores import charts, pair, sentences
from dashboard.scores.hover import Layer, hover_picture
from dashboard.scores.pair import Pair
from dashboard.scores.shuffled import Shuffled
from dashboard.selection import MAX_TEXT, Selection, clip, state_to_params
from dashboard.words import literal, passages
from storage import Filter, SampleQuery, StoreError
from storage.media import Place

CAPTION = "caption"  # the group of `Selection.only` that holds the caption somebody typed
MAX_CAPTION = MAX_TEXT - len(CAPTION) - 1
_ASKED = "live_asked"
SAME = 1e-3  # share of the score up to which the same caption scores the same


def chosen_pair(run: Run, query: SampleQuery, chosen: Selection) -> Pair | None:
    """The chosen pair, or the lowest with a score that is not cut off; says what cannot be shown."""
    sample = chosen.sample
    if sample is None:
        ascending = replace(query, sort="score", descending=False)
        mapped = replace(ascending, filters=(*query.filters, Filter("score", "ne", 0.0)))
        first = run.page(mapped, 1, 1, ()) or run.page(ascending, 1, 1, ())
        sample = int(first[0]["sample_id"]) if first else None
    if sample is None:
        return None
    try:
        found = pair.pair_of(run, query.target, sample)
    except StoreError as problem:
        st.info(literal(f"{problem}."), icon=":material/search_off:")
        return None
    if found is None:
        st.info(f"Sample {sample} has no score of this target.", icon=":material/search_off:")
    return found


def heading(run: Run, query: SampleQuery, chosen: Selection, found: Pair) -> None:
    """Which pair, its score, and the way to the next lower and higher one."""
    sample, score = int(found.sample["sample_id"]), found.score
    by_score = replace(query, sort="score", descending=False)
    before, after, position, total = run.neighbours(by_score, sample)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(f"Pair {sample}", width="content")
        _step("Lower score", ":material/chevron_left:", before, "left")
        _step("Higher score", ":material/chevron_right:", after, "right")
        st.page_link(
            "app_pages/sample.py",
            label="All of this sample",
            icon=":material/image_search:",
            width="content",
            query_params=state_to_params(replace(chosen, sample=sample)),
        )
    told = f"score {score['score']:.4g}"
    if score.get("clip_percentile") is not None:
        told += f", higher than {sentences.percent(score['clip_percentile'])} of shuffled pairs"
    told += f"; number {position:,} of {total:,} from the lowest" if position else "; not among the shown pairs"
    if found.sample.get("text_cut") is True:
        told += "; the caption is longer than the model reads: its end was cut"
    st.caption(f"{told}.")


def _step(label: str, icon: str, sample: int | None, side: str) -> None:
    st.button(
        label,
        icon=icon,
        icon_position="right" if side == "right" else "left",
        disabled=sample is None,
        key=f"pair_{side}",
        on_click=state.change,
        kwargs={"sample": sample},
    )


def stored(run: Run, chosen: Selection, found: Pair) -> None:
    """The stored maps: picture and words, each word with its own map where the run has it."""
    parts = pair.told(run, found)
    try:
        base, layers = pair.layers(run, found, parts, chosen.look)
    except tiles.MissingPicture as problem:
        base, layers = _no_picture(str(problem)), {}
    st.html(hover_picture(base, parts, layers, chosen.look.colormap, "stored"))
    if not layers:
        st.caption(
            "This run stored no maps of single words: `python -m jobs run … --words 3` does, for so many words of each "
            "caption. “Score this caption” below makes them now, where the model is at hand."
        )


def _no_picture(problem: str) -> Layer:
    jpeg = overlays.encode(overlays.notice(f"No picture\n{problem}", tiles.TILE))
    return Layer(jpeg, "The picture cannot be shown.", "No picture")


def deletion(found: Pair) -> None:
    """How far the score of this pair falls."""
    falls = found.falls
    if not falls:
        st.caption(
            "This run did not check its maps by deletion: `python -m jobs run … --evidence` removes what a map calls "
            "relevant from every pair, and stores how far the score falls beside random removal."
        )
        return
    score = float(found.score["score"])
    told = "; ".join(
        f"{name} {falls[kind]:.3g}, at random {falls[f'{kind}_random']:.3g}"
        for kind, name in charts.KINDS.items()
        if kind in falls and f"{kind}_random" in falls
    )
    st.plotly_chart(
        charts.falls_of_pair(falls, score), config=common.CONFIG, alt=f"Falls of the score: {told}", key="falls_pair"
    )
    word = found.text.get("dropped_word") if found.text else None
    if word:
        st.caption(f"The most relevant word is “{literal(clip(str(word), 40))}”. A fifth of the patches is removed.")


def another(run: Run, chosen: Selection, found: Pair, target: str) -> None:
    """Type another caption and see what the model makes of it."""
    st.markdown("**Another caption for this picture**")
    own = str(found.sample.get("text") or "")
    typed = next(iter(chosen.chosen(CAPTION)), "")
    sample = int(found.sample["sample_id"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Caption",
            max_chars=MAX_CAPTION,
            placeholder=clip(own, 200),
            help="Empty: the caption of this pair. The model of the run is loaded when you press the button.",
            **state.control("live_caption", typed, _choose),
        )
        if st.button("Score this caption", icon=":material/bolt:", key="live_go"):
            st.session_state[_ASKED] = (run.id, sample, target, typed or own)
    caption = typed or own
    if st.session_state.get(_ASKED) != (run.id, sample, target, caption):
        return
    if not caption.strip():
        st.caption("There is no caption to score.")
        return
    try:
        with st.spinner("Loading the model and explaining the caption…"):
            result = _explained(run, found, target, caption)
    except (live.NoModel, tiles.MissingPicture) as problem:
        st.info(literal(str(problem)), icon=":material/cloud_off:")
        return
    _show(run, chosen, found, result, caption == own)


def _choose(text: str | None) -> None:
    words = [" ".join((text or "").split())]
    state.put(replace(state.current().with_only(CAPTION, [w for w in words if w]), page=state.current().page))


def _explained(run: Run, found: Pair, target: str, caption: str) -> LivePair:
    settings = live.Settings.of(run.record.spec, run.record.model, target)
    return _live(settings, tiles.source(run, str(found.sample["uri"])), caption)


@st.cache_data(show_spinner=False, max_entries=32)
def _live(settings: live.Settings, picture: Place, caption: str) -> LivePair:
    return live.explain(settings, picture, caption)


def _show(run: Run, chosen: Selection, found: Pair, result: LivePair, same: bool) -> None:
    """Score against the stored one, and the maps."""
    before, shuffled = float(found.score["score"]), Shuffled.of(run.record.model)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.metric("Score", f"{result.score:.4g}", f"{result.score - before:+.3g} to the stored caption")
        if shuffled is not None:
            st.metric("Higher than", sentences.percent(shuffled.percentile(result.score)), help="of shuffled pairs")
    if same and abs(result.score - before) > SAME * max(abs(before), 1.0):
        st.warning(
            f"The stored score of this very caption is {before:.4g}: the model or the picture is not what it was.",
            icon=":material/difference:",
        )
    if result.places.get("text_cut"):
        st.caption("The caption is longer than the model reads: its end was cut.")
    parts = passages(result.places, result.text)
    look = chosen.look if chosen.look.mode != "original" else Look(colormap=chosen.look.colormap)
    try:
        picture = overlays.decode(tiles.large(run, found.sample, None, Look("original"), pair.SIDE)[0])
    except tiles.MissingPicture as problem:
        st.info(literal(f"No picture: {problem}"), icon=":material/hide_image:")
        return
    base = Layer(
        pair.painted(picture, result.image, found.sample, look),
        "Where the picture carries this score. Point at an underlined word for its own map.",
        "The picture with the relevancy of the score of the typed caption",
    )
    layers = {
        number: pair.word_layer(pair.painted(picture, values, found.sample, look), result.places["words"][number], fall)
        for number, fall, values in result.links
    }
    st.html(hover_picture(base, parts, layers, chosen.look.colormap, "live"))
