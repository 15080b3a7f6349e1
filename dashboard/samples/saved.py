"""Views under a name: everybody sees them, and each opens the page exactly as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import streamlit as st

from dashboard import identity, reviews, state
from dashboard.data import Run
from dashboard.selection import clip, state_to_params
from dashboard.words import literal
from storage import SavedView, StoreError

PAGES = Path(__file__).resolve().parents[1] / "app_pages"
_NAME, LENGTH = "view_name", 200


def popover(run: Run, page: str) -> None:
    """Save this view of a page, open another one, remove one."""
    with st.popover("Saved views", icon=":material/bookmark:", width="stretch"):
        person = identity.current()
        why = identity.why_not(person)
        st.text_input("Name of this view", key=_NAME, max_chars=LENGTH, placeholder="What it shows")
        st.button(
            "Save this view",
            icon=":material/bookmark_add:",
            key="save_view",
            disabled=bool(why),
            help=literal(why) if why else "Keeps page, filters, order and look. The same name replaces the view.",
            on_click=_save,
            args=(run, page),
        )
        if why:
            st.caption(literal(why))
        try:
            views = [view for view in reviews.of(run.store).views() if known_page(view.page)]
        except StoreError as problem:
            st.caption(literal(f"{problem}."))
            return
        for view in views:
            _row(run, view, bool(why))


def _row(run: Run, view: SavedView, fixed: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(gap=None):
            st.page_link(
                f"app_pages/{view.page}.py",
                label=literal(clip(view.name, 50)),
                query_params=parse_qs(view.params),
                icon=":material/bookmark:",
            )
            st.caption(literal(f"{view.page}, {clip(view.reviewer, 30)}, {view.at:%Y-%m-%d}"))
        st.button(
            "Remove",
            icon=":material/delete:",
            key=f"remove_view_{view.id}",
            type="tertiary",
            disabled=fixed,
            help="Remove this view for everybody",
            on_click=_remove,
            args=(run, view.name),
        )


def known_page(page: str) -> bool:
    """Whether a view is of a page that there is (still); the name came from a database."""
    return page.isidentifier() and (PAGES / f"{page}.py").is_file()


def _save(run: Run, page: str) -> None:
    params = urlencode(state_to_params(state.current()), doseq=True)
    name = str(st.session_state.get(_NAME, ""))
    if _written(partial(reviews.of(run.store).save_view, name, page, params)):
        st.session_state[_NAME] = ""
        st.toast(literal(f"Saved as {clip(name, 60)}"), icon=":material/bookmark_added:")


def _remove(run: Run, name: str) -> None:
    _written(partial(reviews.of(run.store).remove_view, name))


def _written(write: Callable[..., object]) -> bool:
    """Do it in the name of the person at this browser; a refusal is said in one line."""
    person = identity.current()
    if not person.may_review:
        return False
    try:
        write(reviewer=person.name)
    except StoreError as problem:
        st.toast(literal(f"{problem}."), icon=":material/error:")
        return False
    return True
