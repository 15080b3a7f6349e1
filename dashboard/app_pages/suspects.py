"""Suspects: the ranked list of cues, with evidence and verdicts; the front page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import frame, identity, looks, state, tiles
from dashboard.data import Row, Run
from dashboard.selection import clip
from dashboard.suspects import filters, keyboard, listing, pictures, verdicts
from dashboard.suspects.card import Pictured, card
from dashboard.suspects.listing import Filtered
from dashboard.words import literal
from storage import address_of, wording
from storage.lock import is_locked

COUNTS = "suspects_counts"  # the fragment that counts verdicts
COMMAND = "python -m jobs suspects {run} --store {store}"
HOURGLASS = ":material/hourglass_top:"


def never_searched(run: Run) -> None:
    """What to do when nobody has looked for suspects yet."""
    if is_locked(run.reader.run.suspects_lock):
        st.info("Suspects of this run are being searched right now. Reload this page in a while.", icon=HOURGLASS)
        return
    st.markdown(
        "Nobody has looked for suspects in this run yet. This command does, and tests each of them on the model; "
        "reload this page when it has ended:"
    )
    st.code(COMMAND.format(run=run.id, store=address_of(run.store)), language="bash", wrap_lines=True)
    st.caption("Without the model and the pictures at hand add `--no-verify`: suspects are then found, not tested.")


@st.fragment(key=COUNTS)
def counts(run: Run, rows: Sequence[Row]) -> None:
    """How many there are, how many are flagged, how many were judged."""
    person = identity.current()
    everybody, mine = verdicts.counts(run, [row["id"] for row in rows], person.name)
    flagged = sum(row["flagged"] for row in rows)
    parts = [f"**{len(rows)}** suspects", f"**{flagged}** probably spurious", f"**{everybody}** reviewed"]
    if person.name:
        parts.append(f"**{mine}** by you")
    st.markdown(" · ".join(parts), width="content")


def remarks(run: Run) -> None:
    """What chance alone would give, what was left out, and whether the list is whole."""
    about = run.suspects().about
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(literal(wording.sentence(wording.chance_line(about))), width="content")
        if about.get("notes"):
            with st.popover(f"{len(about['notes'])} notes on the search", icon=":material/info:", type="tertiary"):
                for note in about["notes"]:
                    st.text(clip(str(note), 400))
    if is_locked(run.reader.run.suspects_lock):
        st.info("Suspects are being searched and tested right now: this list will change. Reload it.", icon=HOURGLASS)
    elif not about.get("done", True):
        st.warning(
            "The search was interrupted before every suspect was tested. The same command goes on:",
            icon=":material/pause_circle:",
        )
        st.code(COMMAND.format(run=run.id, store=address_of(run.store)), language="bash", wrap_lines=True)


def pager(listed: Filtered, pictures_there: bool) -> None:
    """Page buttons (the page is the one that the suspect in focus is on), and how maps look."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if listed.pages > 1:
            key = f"suspects_page_{listed.page}_{listed.pages}"
            st.pagination(
                listed.pages,
                default=listed.page,
                key=key,
                width=50 * (min(listed.pages, 7) + 2),
                on_change=lambda: keyboard.focus(listed.first_of(st.session_state[key])),
            )
        with st.popover("Look", icon=":material/palette:", type="tertiary"):
            looks.controls() if pictures_there else looks.colors()


def pictured(run: Run, rows: Sequence[Row]) -> dict[str, Pictured]:
    """What there is to see of the suspects of a page."""
    look, theme = state.current().look, looks.theme()
    target = pictures.target_of(run, run.suspects().about)
    found = pictures.exemplars(run, rows, target)
    if not run.has_pictures:
        keys = [(int(one["sample_id"]), one["target"]) for some in found.values() for one in some]
        maps = run.maps(keys, "text")
        return {name: Pictured(some, maps=maps) for name, some in found.items()}
    every = [one for some in found.values() for one in some]
    painted = iter(tiles.gallery(run, every, look, theme))
    means = pictures.mean_pictures(run, rows, target, look, theme)
    return {name: Pictured(some, [next(painted) for _ in some], means.get(name)) for name, some in found.items()}


def cards(run: Run, listed: Filtered) -> None:
    """One page of suspects."""
    chosen, focus = state.current(), listed.focus
    seen = pictured(run, listed.shown)
    for place, row in enumerate(listed.shown):
        to_focus = None if row is focus else keyboard.focus
        card(run, row, chosen, seen[row["id"]], to_focus=to_focus, place=place, also=[COUNTS])


def page() -> None:
    """The whole page."""
    run = frame.run()
    rows, about = run.suspects().rows, run.suspects().about
    if not rows and not about:
        st.title("Suspects")
        never_searched(run)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Suspects", width="content")
        counts(run, rows)
    remarks(run)
    if not rows:
        st.info("Nothing in this run stands out beyond what chance gives.", icon=":material/check_circle:")
        return
    offered = listing.options(rows)
    wanted = listing.choices(state.current(), offered)
    filters.controls(offered, wanted)
    standing, problem = verdicts.standing(run)
    if problem:
        st.warning(literal(f"Verdicts cannot be read: {problem}"), icon=":material/error:")
    listed = listing.filtered(rows, wanted, standing, identity.current().name, state.current().suspect)
    if not listed.rows:
        st.info("No suspect fits all filters.", icon=":material/filter_alt_off:")
        st.button("Clear all", icon=":material/filter_alt_off:", key="clear_only", on_click=filters.clear)
        return
    pager(listed, run.has_pictures)
    cards(run, listed)
    keyboard.buttons(run, listed)
    keyboard.show_focus(listed)


page()
