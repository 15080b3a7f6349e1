"""Suspects: the ranked list of cues, with evidence and verdicts; the front page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from dashboard import frame, identity, looks, state, tiles
from dashboard.data import Row, Run
from dashboard.selection import clip, state_to_params
from dashboard.suspects import kinds, listing, pictures, verdicts
from dashboard.suspects.card import FOCUSED, Pictured, card
from dashboard.suspects.listing import Filtered
from dashboard.words import literal
from storage import wording
from storage.lock import is_locked

COUNTS = "suspects_counts"  # the fragment that counts verdicts
COMMAND = "python -m jobs suspects {run} --store {store}"
HOURGLASS = ":material/hourglass_top:"
_MOVED, _ALL_DONE = "suspects_focus_moved", "suspects_all_reviewed"
LABELS = {
    "flagged": "probably spurious",
    "mine": "My verdict",
    "team": "Team verdict",
    "kind": "Kind",
    "status": "Status",
    "class": "Class",
}
FOCUS_STYLE = f"<style>.st-key-{FOCUSED} {{ outline: 2px solid currentColor; outline-offset: -1px; }}</style>"


def never_searched(run: Run) -> None:
    """What to do when nobody has looked for suspects yet."""
    if is_locked(run.reader.run.suspects_lock):
        st.info("Suspects of this run are being searched right now. Reload this page in a while.", icon=HOURGLASS)
        return
    st.markdown(
        "Nobody has looked for suspects in this run yet. This command does, and tests each of them on the model; "
        "reload this page when it has ended:"
    )
    st.code(COMMAND.format(run=run.id, store=run.store), language="bash", wrap_lines=True)
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
        st.code(COMMAND.format(run=run.id, store=run.store), language="bash", wrap_lines=True)


def filters(offered: dict[str, list[str]], wanted: dict[str, list[str]]) -> None:
    """One control per filter."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for group in ("kind", "status", "class", "mine", "team"):
            names = kinds.names(offered[group]) if group == "kind" else {}
            _filter(group, {value: clip(names.get(value, value), 40) for value in offered[group]}, wanted[group])
        st.toggle(
            "Probably spurious",
            **state.control(
                "only_flagged",
                bool(wanted["flagged"]),
                _choose_flagged,
            ),
        )


def _filter(group: str, offered: dict[str, str], wanted: list[str]) -> None:
    """A choice among values, each with what people call it."""
    st.multiselect(
        LABELS[group],
        list(offered),
        format_func=offered.__getitem__,
        placeholder="any",
        width=142,
        **state.control(f"only_{group}", wanted, lambda values: _choose(group, values)),
    )


def _choose(group: str, values: Sequence[str]) -> None:
    state.put(state.current().with_only(group, values))


def _choose_flagged(on: bool) -> None:
    _choose("flagged", [listing.FLAGGED] if on else [])


def clear() -> None:
    """No filter any more."""
    state.change(only=())


def pager(listed: Filtered, pictures_there: bool) -> None:
    """Page buttons (the page is the one that the suspect in focus is on), and how maps look."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if listed.pages > 1:
            key = f"suspects_page_{listed.page}_{listed.pages}"
            st.pagination(
                listed.pages,
                default=listed.page,
                key=key,
                width=34 * (min(listed.pages, 7) + 2),
                on_change=lambda: _focus(listed.first_of(st.session_state[key])),
            )
        with st.popover("Look", icon=":material/palette:", type="tertiary"):
            looks.controls() if pictures_there else looks.colors()


def keyboard(run: Run, listed: Filtered) -> None:
    """The buttons that move the focus, each with its key, below everything else and always in sight."""
    person, names = identity.current(), [str(row["id"]) for row in listed.rows]
    focus = listed.focus
    assert focus is not None
    with st.bottom, st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _move("Previous", "K", "arrow_upward", listed.near(-1))
        _move("Next", "J", "arrow_downward", listed.near(1))
        st.button(
            "Next unreviewed",
            icon=":material/skip_next:",
            key="focus_unreviewed",
            shortcut="N",
            disabled=not person.may_review,
            help=literal(identity.why_not(person)) or None,
            on_click=_to_unreviewed,
            args=(run, names, focus["id"]),
        )
        evidence = st.button("Evidence", icon=":material/fact_check:", key="focus_evidence", shortcut="E")
        st.caption(
            f"{listed.place + 1} of {len(listed.rows)} in focus · **1** core feature · **2** spurious · **3** unsure "
            "· **U** undo",
            width="content",
        )
    if st.session_state.pop(_ALL_DONE, False):
        st.toast("You have reviewed every suspect of this list.", icon=":material/done_all:")
    if evidence:
        state.change(suspect=focus["id"])
        st.switch_page("app_pages/evidence.py", query_params=state_to_params(state.current()))


def _move(label: str, shortcut: str, icon: str, to: str) -> None:
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"focus_{label.lower()}",
        shortcut=shortcut,
        disabled=not to,
        on_click=_focus,
        args=(to,),
    )


def _focus(suspect: str) -> None:
    state.change(suspect=suspect)
    st.session_state[_MOVED] = st.session_state.get(_MOVED, 0) + 1


def _to_unreviewed(run: Run, names: Sequence[str], after: str) -> None:
    standing, _ = verdicts.standing(run)
    found = listing.next_unreviewed(names, after, standing, identity.current().name)
    if found:
        _focus(found)
    else:
        st.session_state[_ALL_DONE] = True


def show_focus() -> None:
    """Bring the card in focus into sight after the focus has moved."""
    moved = st.session_state.get(_MOVED, 0)
    st.html(FOCUS_STYLE)
    if moved:  # the number makes it another script, which the browser runs once
        find = f"document.querySelector('.st-key-{FOCUSED}')"
        script = f"<script>/* {moved} */ {find}?.scrollIntoView({{block: 'center'}})</script>"
        st.html(script, unsafe_allow_javascript=True)


def pictured(run: Run, rows: Sequence[Row]) -> dict[str, Pictured]:
    """What there is to see of the suspects of a page."""
    look, theme = state.current().look, "dark" if st.context.theme.type == "dark" else "light"
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
        to_focus = None if row is focus else _focus
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
    filters(offered, wanted)
    standing, problem = verdicts.standing(run)
    if problem:
        st.warning(literal(f"Verdicts cannot be read: {problem}"), icon=":material/error:")
    listed = listing.filtered(rows, wanted, standing, identity.current().name, state.current().suspect)
    if not listed.rows:
        st.info("No suspect fits all filters.", icon=":material/filter_alt_off:")
        st.button("Clear all", icon=":material/filter_alt_off:", key="clear_only", on_click=clear)
        return
    pager(listed, run.has_pictures)
    cards(run, listed)
    keyboard(run, listed)
    show_focus()


page()
