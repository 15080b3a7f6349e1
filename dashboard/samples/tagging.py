"""Giving tags to samples and taking them away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import streamlit as st

from dashboard import identity, reviews, state
from dashboard.data import Run
from dashboard.samples import finder, scope
from dashboard.selection import Selection, clip
from dashboard.words import literal
from storage import SampleQuery, StoreError

MOST, LENGTH = 100_000, 60
_TAG = "tag_to_give"


def popover(run: Run, query: SampleQuery, matches: int) -> None:
    """Tag many samples at once."""
    with st.popover("Tag", icon=":material/sell:"):
        wanted = scope.choose(run, query, matches, "tag")
        tag = field(run, "tag_many")
        why = identity.why_not(identity.current())
        if not why and wanted.n > MOST:
            why = f"At most {MOST:,} samples can be tagged at once; narrow them first."
        with st.container(horizontal=True):
            for name, icon, added in (("Add tag", "add", True), ("Remove tag", "remove", False)):
                st.button(
                    name,
                    icon=f":material/{icon}:",
                    key=f"tag_many_{icon}",
                    disabled=bool(why) or not tag,
                    on_click=_change_many,
                    args=(wanted, tag, added),
                )
        st.caption(literal(why) if why else "Everybody sees tags; they filter in the sidebar and are exported.")


def field(run: Run, key: str, label: Literal["visible", "collapsed"] = "visible") -> str:
    """The tag to give: one there is, or a new one. It stays while a person goes from sample to sample."""
    known, given = list(finder.tags(run)), str(st.session_state.get(_TAG, ""))
    options = known if given in ("", *known) else [given, *known]

    def remember(value: str | None) -> None:
        st.session_state[_TAG] = (value or "").strip()[:LENGTH]

    st.selectbox(
        "Tag",
        options,
        placeholder="Choose or type a tag",
        accept_new_options=True,
        format_func=lambda tag: clip(tag, LENGTH),
        width=260,
        label_visibility=label,
        **state.control(key, given if given in options else None, remember),
    )
    return given


def of(run: Run, sample_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """The tags of samples; none when the reviews cannot be read."""
    try:
        return reviews.of(run.store).tags_of(run.id, np.fromiter(sample_ids, dtype=np.int64))
    except StoreError:
        return {}


def line(tags: tuple[str, ...], length: int = 24) -> None:
    """The tags of one sample, as a line under its tile."""
    if tags:
        st.caption(
            ":material/sell: " + ", ".join(literal(clip(tag, length)) for tag in tags),
            text_alignment="center",
            wrap=False,
        )


def of_sample(run: Run, chosen: Selection, sample_id: int) -> None:
    """The tags of the open sample as chips that take them away, and the field to give one."""
    person, tags = identity.current(), of(run, [sample_id]).get(sample_id, ())
    why = identity.why_not(person)
    with st.container(horizontal=True, vertical_alignment="center"):
        tag = field(run, "tag_one", "collapsed")
        st.button(
            "Remove tag" if tag and tag in tags else "Add tag",
            icon=":material/sell:",
            key="tag_sample",
            shortcut="T",
            disabled=bool(why) or not tag,
            help=literal(why) if why else "T gives this sample the tag, or takes it away",
            on_click=change,
            args=(run, [sample_id], tag, tag not in tags),
        )
        for number, name in enumerate(tags):
            st.button(
                literal(clip(name, 40)),
                icon=":material/close:",
                key=f"untag_{number}",
                disabled=bool(why),
                help="Take this tag away",
                on_click=change,
                args=(run, [sample_id], name, False),
            )


def change(run: Run, sample_ids: Iterable[int], tag: str, added: bool) -> None:
    """Give or take a tag now, and say what became of it."""
    person = identity.current()
    if not person.may_review:
        return
    store = reviews.of(run.store)
    try:
        n = (store.tag if added else store.untag)(run.id, sample_ids, tag, person.name)
    except StoreError as problem:
        st.toast(literal(f"{problem}."), icon=":material/error:")
        return
    done = "tagged" if added else "lost the tag"
    st.toast(literal(f"{n:,} {'sample' if n == 1 else 'samples'} {done} {clip(tag, 40)}"), icon=":material/sell:")


def _change_many(wanted: scope.Scope, tag: str, added: bool) -> None:
    change(wanted.run, wanted.ids(), tag, added)
