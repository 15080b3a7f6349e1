"""The parts of the page of words: choices, the table, and the samples with one word."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard import looks, state, tiles
from dashboard.data import Row, Run
from dashboard.pictures import draw_picture
from dashboard.selection import Selection, clip, state_to_params
from dashboard.wordlist import data
from dashboard.wordlist.marked import around, marked
from dashboard.words import literal, shown
from storage import Filter, SampleQuery
from storage.queries.words import LEAST, Group, WordTable

ALL = ""
MOST_SHOWN, SIZE = 500, 12
GROUP, FIND, COUNT = "wordgroup", "wordpart", "wordcount"  # groups of `Selection.only`
_CLICK = "words_click"


def least(chosen: Selection) -> int:
    """The smallest number of samples of the shown words."""
    given = next(iter(chosen.chosen(COUNT)), "")
    return min(int(given), 10**9) if given.isdecimal() and len(given) < 11 else LEAST


def group_of(table: WordTable, chosen: Selection) -> Group | None:
    """The chosen class, if the table has it."""
    name = next(iter(chosen.chosen(GROUP)), ALL)
    return next((one for one in table.groups if one.name == name), None)


def choices(table: WordTable, chosen: Selection) -> None:
    """Class or answer, part of a word, smallest count."""
    group = group_of(table, chosen)
    names = {one.name: one.n for one in table.groups}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if names:
            st.selectbox(
                "Goes with",
                [ALL, *names],
                format_func=lambda name: (
                    f"{clip(name, 40)} ({names[name]:,})" if name else "Any: the strongest of each"
                ),
                width=300,
                **state.control("words_group", group.name if group else ALL, lambda v: _only(GROUP, v)),
            )
        st.text_input(
            "Word contains",
            max_chars=60,
            type="search",
            width=220,
            **state.control("words_find", next(iter(chosen.chosen(FIND)), ""), lambda v: _only(FIND, v)),
        )
        st.number_input(
            "In at least so many samples",
            1,
            10**9,
            step=1,
            width=220,
            **state.control("words_least", least(chosen), lambda v: _only(COUNT, str(v))),
        )


def _only(name: str, value: str) -> None:
    state.put(state.current().with_only(name, [value] if value else []))


def words(table: WordTable, chosen: Selection) -> None:
    """The table; a click on a row opens the samples of its word."""
    group = group_of(table, chosen)
    find = next(iter(chosen.chosen(FIND)), "")
    rows = table.rows(group.name if group else ALL, least(chosen), find, MOST_SHOWN)
    if not rows:
        st.info("No word passes. Lower the smallest count, or clear the search.", icon=":material/search_off:")
        return
    key = f"{_CLICK}_{st.session_state.get(_CLICK, 0)}"

    def clicked() -> None:
        ticked = st.session_state[key].selection.rows
        if ticked and ticked[0] < len(rows):
            st.session_state[_CLICK] = st.session_state.get(_CLICK, 0) + 1  # a table without the tick: a second click
            state.change(word=str(rows[ticked[0]]["word"]), page=1)

    st.dataframe(
        [{**row, "share": 100 * row["share"]} for row in rows],
        column_order=[name for name in COLUMNS if rows[0].get(name) is not None],
        column_config=COLUMNS,
        hide_index=True,
        height="content" if len(rows) <= 11 else 430,
        key=key,
        on_select=clicked,
        selection_mode="single-row",
        alt="Words: samples with the word, mean share of the relevancy, class, how often expected by chance, z",
    )
    more = f"the first {MOST_SHOWN} words; " if len(rows) == MOST_SHOWN else ""
    st.caption(f"Tick a row to see the samples of its word ({more}{len(rows):,} shown).")


COLUMNS: dict[str, Any] = {
    "word": st.column_config.TextColumn("Word", pinned=True),
    "n": st.column_config.NumberColumn("Samples", format="localized", help="Samples whose text has the word."),
    "share": st.column_config.NumberColumn(
        "Relevancy", format="%.1f%%", help="Mean share of the text's relevancy on the word, where the text has it."
    ),
    "times": st.column_config.NumberColumn(
        "Times even",
        format="%.2f",
        help="The share times the number of words: 1 is what a word would get if all words of a text got the same.",
    ),
    "group": st.column_config.TextColumn("Goes with", help="The predicted class or answer, or a tenth of the scores."),
    "together": st.column_config.NumberColumn("There", format="localized", help="Samples of that class with the word."),
    "expected": st.column_config.NumberColumn(
        "By chance", format="%.1f", help="How many there would be if word and class had nothing to do with each other."
    ),
    "z": st.column_config.NumberColumn("z", format="%.1f", help="Strength of the association, see above."),
    "beyond": st.column_config.CheckboxColumn(
        "Beyond chance", help="z is more than chance gives among all these words."
    ),
}


def how(table: WordTable) -> None:
    """How the association is measured, and of how many samples."""
    with st.expander("How this is measured", icon=":material/functions:"):
        st.markdown(
            "**Relevancy** is the share of a text's relevancy that lies on the word. **z** is the log-odds ratio of "
            "having the word, in samples of the class against all others, over its standard error; 1/2 is added to "
            "each of the four counts, so that rare words do not win:"
        )
        st.latex(
            r"z = \log\frac{a\,d}{b\,c} \;\Big/\; \sqrt{\tfrac1a + \tfrac1b + \tfrac1c + \tfrac1d}"
            r"\qquad a,b\ \text{with and without the word in the class},\ c,d\ \text{elsewhere}"
        )
        st.markdown(
            "**Beyond chance**: z is higher than chance alone would give for any of the compared words and classes, 19 "
            "times in 20 (Bonferroni). The class is what the model predicted; that a word goes with it does not show "
            "that it causes it."
        )
    if table.read < table.total:
        st.caption(
            f"Counted in {table.read:,} of {table.total:,} samples, chosen by a hash of their number (always the same)."
        )


def samples(run: Run, query: SampleQuery, table: WordTable, chosen: Selection) -> None:
    """The samples with the chosen word."""
    word, group = chosen.word, group_of(table, chosen)
    if group is not None:
        query = replace(query, filters=(*(f for f in query.filters if f.column != group.filter.column), group.filter))
    total, ids = data.found(run, query, word, 1, SIZE)
    name = literal(clip(word, 60))
    st.subheader(f"“{name}”")
    if not ids:
        st.caption("No sample has this word.")
        return
    among = f" that go with {literal(clip(group.name, 40))}" if group else ""
    st.markdown(f"{total:,} samples{among} have the word; those where it is among the most relevant words come first.")
    narrowed = chosen if group is None else chosen.with_filter(group.filter.column, group.filter)
    with st.container(horizontal=True, vertical_alignment="center"):
        _link(f"Samples whose text contains “{name}”", narrowed.with_filter("text", Filter("text", "contains", word)))
        top = Filter("top_tokens", "contains", word)
        _link("Where it is among the most relevant words", narrowed.with_filter("top_tokens", top), "text")
        st.button("Close", icon=":material/close:", type="tertiary", key="word_close", on_click=_close)
    _list(run, query, ids, word, chosen)


def _close() -> None:
    state.change(word="")


def _list(run: Run, query: SampleQuery, ids: list[int], word: str, chosen: Selection) -> None:
    own = SampleQuery(query.target, "text", sets=(run.reader.sets.keep(ids),))
    found = {int(row["sample_id"]): row for row in run.page(own, 1, len(ids))}
    rows = [found[k] for k in ids if k in found]
    maps = run.maps([(int(row["sample_id"]), query.target) for row in rows], "text")
    pictures: list[bytes | None] = [None] * len(rows)
    if run.has_pictures:
        theme = looks.theme()
        pictures = list(tiles.gallery(run, rows, chosen.look, theme))
    st.caption("Colour: relevancy, least to most relevant word of each text. The word is framed.")
    grid = st.grid(4 if run.has_pictures else 2, min_column_width=200 if run.has_pictures else 420, key="word_samples")
    for row, picture in zip(rows, pictures, strict=True):
        with grid.cell(), st.container(border=True, gap="xxsmall"):
            _sample(row, picture, maps.get((int(row["sample_id"]), query.target)), word, chosen)


def _sample(row: Row, picture: bytes | None, relevancy: Any, word: str, chosen: Selection) -> None:
    here = replace(chosen, sample=int(row["sample_id"]))
    if picture is not None:
        draw_picture(picture, alt=f"Sample {row['sample_id']}")
    st.page_link(
        "app_pages/sample.py",
        label=literal(verdict(row)),
        query_params=state_to_params(here),
        width="content",
    )
    if relevancy is None:
        st.text(clip(str(row.get("text") or ""), 300))
        return
    st.html(marked(around(shown(row, relevancy), word), word, chosen.look.colormap))


def verdict(row: Row) -> str:
    """The sample, and what the model said of it."""
    said = row.get("predicted")
    told = clip(str(said), 30) if said is not None else f"score {row['score']:.3g}"
    wrong = f" (label {clip(str(row['label']), 30)})" if row.get("correct") is False and row.get("label") else ""
    return f"{row['sample_id']}: {told}{wrong}"


def _link(label: str, chosen: Selection, modality: str = "") -> None:
    target = replace(chosen, modality=modality or chosen.modality, page=1, word="")
    st.page_link(
        "app_pages/samples.py",
        label=label,
        icon=":material/grid_view:",
        width="content",
        query_params=state_to_params(target),
    )
