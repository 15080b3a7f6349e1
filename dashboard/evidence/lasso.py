"""The scatter of members on the page: choose the space, draw a box or a lasso, see and keep what is in it."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard import identity, reviews, state
from dashboard.evidence import scatter, shown
from dashboard.evidence.compared import others_name
from dashboard.evidence.scatter import SPACES
from dashboard.evidence.subject import Subject
from dashboard.selection import MAX_VALUES
from dashboard.words import literal
from storage import StoreError

GROUP, MOST = "space", 12
CONFIG = {
    "displayModeBar": True,
    "displaylogo": False,
    "scrollZoom": False,
    "modeBarButtons": [["lasso2d", "select2d", "zoom2d", "pan2d", "resetScale2d"]],
}


def draw(subject: Subject) -> None:
    """The choice of the space, the chart, and what is chosen in it."""
    st.subheader("Members among the others")
    known = scatter.spaces(subject)
    if not known:
        st.caption("The run stored neither image maps of one size nor features: there is nothing to place.")
        return
    chosen = next((one for one in state.current().chosen(GROUP) if one in known), known[0])
    if len(known) > 1:
        st.segmented_control(
            "Close together is alike in",
            known,
            required=True,
            format_func=SPACES.__getitem__,
            **state.control("scatter_space", chosen, lambda v: state.put(state.current().with_only(GROUP, [v]))),
        )
    _plane(subject, chosen)


@st.fragment
def _plane(subject: Subject, space: str) -> None:
    """The chart; a choice in it draws nothing else of the page anew."""
    found = subject.ask(scatter.points, space)
    if found is None:
        st.caption("Too few of these samples have vectors of this kind.")
        return
    event = st.plotly_chart(
        scatter.chart(found, others_name(subject)),
        config=CONFIG,
        key=f"scatter_{space}_{subject.stamp}_{subject.id}",
        on_select="rerun",
        selection_mode=("box", "lasso"),
        alt=f"{int(found.member.sum()):,} members and {int((~found.member).sum()):,} others in two dimensions, "
        f"by {SPACES[space].lower()}",
    )
    st.caption(
        f"Draw around points to see the samples. Principal components of {SPACES[space].lower()}. {found.note}".rstrip()
    )
    ids = [i for i in scatter.selected(event) if i in set(found.ids.tolist())]
    if ids:
        _chosen(subject, ids)


def _chosen(subject: Subject, ids: list[int]) -> None:
    """The samples inside, a link to them, and a tag for them."""
    st.text(f"{len(ids):,} samples are selected.")
    shown.samples(subject, subject.rows(ids[:MOST]), "lasso", columns=6)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if len(ids) <= MAX_VALUES:
            shown.to_samples(f"Open the {len(ids):,} in Samples", shown.of_ids(subject, ids))
        else:
            st.caption(f"A link can hold {MAX_VALUES} samples: tag these to open them in Samples.", width="content")
        _tagging(subject, ids)


def _tagging(subject: Subject, ids: list[int]) -> None:
    """A tag for the selected samples, and the link to those that carry it."""
    person = identity.current()
    with st.popover("Tag them", icon=":material/sell:"):
        if reason := identity.why_not(person):
            st.caption(literal(reason))
            return
        tag = st.text_input("Tag", key="lasso_tag", max_chars=80).strip()
        st.button(
            f"Tag {len(ids):,} samples",
            key="lasso_tag_button",
            disabled=not tag,
            on_click=_tag,
            args=(subject, ids, tag),
        )
        if tag and tag == st.session_state.get("lasso_tagged"):
            view = replace(state.current().everything(), target=subject.target, tags=(tag,))
            shown.to_samples("Tagged: open in Samples", view, "sell")
        if problem := st.session_state.pop("lasso_problem", ""):
            st.error(literal(problem))


def _tag(subject: Subject, ids: list[int], tag: str) -> None:
    """Store the tag at once."""
    try:
        reviews.of(subject.run.store).tag(subject.run.id, ids, tag, identity.current().name)
        st.session_state["lasso_tagged"] = tag
    except StoreError as problem:
        st.session_state["lasso_problem"] = str(problem)
