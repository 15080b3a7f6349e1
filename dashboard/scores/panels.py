"""The parts of the page of CLIP scores that are about many pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from dashboard import charts as common
from dashboard import colormaps, looks, overlays, state, tiles
from dashboard.data import Row, Run
from dashboard.pictures import draw_picture
from dashboard.samples import clicks
from dashboard.scores import charts, data, sentences
from dashboard.scores.shuffled import Shuffled
from dashboard.selection import Selection, clip, state_to_params
from dashboard.words import literal
from storage import Filter, SampleQuery

BINS, SHOWN = 40, 6
_FOLLOWED = "score_bar_followed"
ENDS = {"lowest": (False, "Lowest scores"), "highest": (True, "Highest scores")}


def distribution(run: Run, query: SampleQuery, chosen: Selection, numbers: Row) -> None:
    """The histogram beside shuffled pairs, what it says in words, and links to both ends."""
    if st.session_state.pop(_FOLLOWED, False):
        st.switch_page("app_pages/samples.py", query_params=state_to_params(state.current()))
    shuffled = Shuffled.of(run.record.model)
    bins = charts.widened(run.histogram(query, "score", BINS), shuffled)
    told = sentences.headline(numbers, shuffled)
    st.markdown(f"**{literal(told[0])}** {literal(' '.join(told[1:]))}")
    key = clicks.key("scores")

    def clicked() -> None:
        condition = clicks.bar(st.session_state[key], bins, "score")
        if condition is not None:
            clicks.follow(chosen.with_filter("score", condition))
            st.session_state[_FOLLOWED] = True

    st.plotly_chart(
        charts.distribution(bins, shuffled, chosen.target),
        config=common.CONFIG,
        key=key,
        on_select=clicked,
        selection_mode="points",
        alt=f"Histogram of the scores. {' '.join(told)}",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        cut = " The dotted line is cut off at the top." if charts.is_cut(bins, shuffled) else ""
        st.caption(f"Click a bar to open its pairs.{cut}", width="content")
        if numbers["below_half"]:
            below = chosen.with_filter("clip_percentile", Filter("clip_percentile", "between", (0, 49.999)))
            below = replace(below, sort="score", descending=False)
            _link(f"The {int(numbers['below_half']):,} that beat less than half of the shuffled pairs", below)
    if not numbers["known"]:
        st.caption(
            "This run has no scores of shuffled pairs to compare with: they are taken when a run starts, from captions "
            "that differ. A new run of the same data has them."
        )


def ends(run: Run, query: SampleQuery, chosen: Selection) -> None:
    """Two galleries: the pairs with the lowest and with the highest scores."""
    theme = looks.theme()
    with st.container(horizontal=True, vertical_alignment="top"):
        looks.controls()
    for name, (descending, title) in ENDS.items():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader(title, width="content")
            _link("Open all in this order", replace(chosen, sort="score", descending=descending))
        rows = run.page(replace(query, sort="score", descending=descending), 1, SHOWN)
        pictures = tiles.gallery(run, rows, chosen.look, theme)
        grid = st.grid(SHOWN, min_column_width=140, gap=("small", "small"), key=f"pairs_{name}")
        for row, picture in zip(rows, pictures, strict=True):
            with grid.cell():
                _tile(row, picture, name)


def _tile(row: Row, picture: bytes, name: str) -> None:
    """A pair: picture, score as a button that opens it below, caption."""
    sample = int(row["sample_id"])
    told = f"score {row['score']:.3g}"
    if row.get("clip_percentile") is not None:
        told = f"{row['score']:.3g} · beats {sentences.percent(row['clip_percentile'])}"
    with st.container(gap="xxsmall"):
        draw_picture(picture, alt=f"Sample {sample}: {clip(str(row.get('text') or ''), 120)}")
        st.button(
            told,
            key=f"open_{name}_{sample}",
            type="tertiary",
            icon=":material/zoom_in:",
            help="Score, and the share of shuffled pairs that score lower. Press to show this pair in detail below.",
            on_click=state.change,
            kwargs={"sample": sample},
        )
        st.text(clip(str(row.get("text") or ""), 90), width="stretch")


def carriers(run: Run, query: SampleQuery, chosen: Selection) -> None:
    """Words and places that carry the highest and the lowest tenth of the scores."""
    st.subheader("What carries high and low scores")
    found = data.ask(run, "tenth_words", query)
    if not found["size"]:
        st.caption("Fewer than 20 pairs, or all with the same score: there are no tenths to compare.")
        return
    grid = st.grid(2, min_column_width=330, gap="medium", key="carriers")
    with grid.cell():
        _words(found, chosen)
    with grid.cell():
        _places(data.ask(run, "tenth_maps", query), chosen)


def _words(found: Row, chosen: Selection) -> None:
    low, high = found["with_words"]
    if not found["words"]:
        st.caption("The texts of these pairs have no words with relevancy.")
        return
    beyond = sum(abs(row["z"]) > found["limit"] for row in found["words"])
    said = (
        f"Counted are pairs that have the word among their most relevant ones; {high:,} of the {found['size']:,} "
        f"highest and {low:,} of the {found['size']:,} lowest pairs have any. z compares both; chance alone stays "
        f"within ±{found['limit']:.1f} for {len(found['words']):,} words, which {beyond or 'none'} "
        f"{'passes' if beyond == 1 else 'pass'}."
    )
    st.caption(said)
    shown = found["words"][:100]
    event: Any = st.dataframe(
        [{**row, "beyond": abs(row["z"]) > found["limit"]} for row in shown],
        column_order=["word", "highest", "lowest", "z", "beyond"],
        column_config={
            "word": st.column_config.TextColumn("Word", pinned=True),
            "highest": st.column_config.NumberColumn("Highest tenth", format="localized"),
            "lowest": st.column_config.NumberColumn("Lowest tenth", format="localized"),
            "z": st.column_config.NumberColumn(
                "z",
                format="%.1f",
                help="Log-odds ratio of both tenths over its standard error, with 1/2 added to every count. Above 0: "
                "goes with high scores.",
            ),
            "beyond": st.column_config.CheckboxColumn("Beyond chance"),
        },
        hide_index=True,
        height=318,
        key="carrier_words",
        on_select="rerun",
        selection_mode="single-row",
        alt="Words of the highest and of the lowest tenth of the scores: counts, z, and whether it is beyond chance",
    )
    ticked = event.selection.rows if event else []
    if ticked and ticked[0] < len(shown):
        word = str(shown[ticked[0]]["word"])
        name = literal(clip(word, 40))
        with st.container(horizontal=True):
            condition = Filter("text", "contains", word)
            _link(f"Samples whose caption contains “{name}”", chosen.with_filter("text", condition))
            st.page_link(
                "app_pages/words.py",
                label=f"“{name}” on the Words page",
                icon=":material/match_word:",
                width="content",
                query_params=state_to_params(replace(chosen, word=word)),
            )


def _places(found: Row, chosen: Selection) -> None:
    """Both mean maps on one scale."""
    known = {name: one for name, one in found.items() if one["n"]}
    if not known:
        st.caption("There is no mean map: these pictures have token grids of different shapes, or maps of zeros.")
        return
    st.caption("Mean map, each pair's relevancy summing to 1; one scale for both, from no relevancy to the most.")
    top = max(max(one["map"]) for one in known.values())
    columns = st.columns(2)
    for column, (name, (_, title)) in zip(columns, list(ENDS.items())[::-1], strict=True):
        one = known.get(name)
        with column:
            if one is None:
                st.caption(f"{title}: only maps of zeros")
                continue
            height, width = one["grid"]
            picture = mean_picture(np.reshape(one["map"], (height, width)) / top, chosen.look.colormap)
            draw_picture(picture, alt=f"{title}: mean map of {one['n']} pairs, {busiest(one)}")
            st.caption(f"{title}: {one['n']:,} pairs; {busiest(one)}")


def busiest(one: Row) -> str:
    """Which ninth of the picture has most of a mean map, in words: 'most in the middle (24 %)'."""
    height, width = one["grid"]
    values = np.reshape(one["map"], (height, width))
    rows, columns = (np.minimum(np.arange(n) * 3 // n, 2) for n in (height, width))
    ninths = np.zeros((3, 3))
    np.add.at(ninths, (rows[:, None], columns[None, :]), values)
    row, column = np.unravel_index(int(ninths.argmax()), (3, 3))
    vertical, horizontal = ("top", "middle", "bottom")[row], ("left", "middle", "right")[column]
    name = "middle" if vertical == horizontal == "middle" else f"{vertical} {horizontal}"
    return f"most at the {name} ({ninths.max() / max(ninths.sum(), 1e-12):.0%})"


def mean_picture(values: Any, colormap: str) -> bytes:
    """A map [h, w] in 0..1 as a picture of its cells."""
    colors = overlays.Image.fromarray(colormaps.paint(values, colormap))
    scale = max(240 // max(colors.size), 1)
    size = (colors.width * scale, colors.height * scale)
    return overlays.encode(colors.resize(size, overlays.Image.Resampling.NEAREST))


def deletion(run: Run, query: SampleQuery) -> None:
    """How far the scores of all pairs fall without what the maps call relevant."""
    rows = data.ask(run, "falls", query)
    if not rows:
        return
    st.plotly_chart(charts.falls_of_all(rows), config=common.CONFIG, alt=sentences.falls_alt(rows), key="falls_all")
    for row in rows:
        st.caption(sentences.fall(row))


def _link(label: str, chosen: Selection) -> None:
    st.page_link(
        "app_pages/samples.py",
        label=label,
        icon=":material/grid_view:",
        width="content",
        query_params=state_to_params(replace(chosen, page=1)),
    )
