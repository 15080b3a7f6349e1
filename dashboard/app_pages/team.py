"""Team: who reviewed what, how well people agree, who may do what, and the log of everything that was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard import frame, identity, reviews, state
from dashboard.data import Row, Run
from dashboard.identity import Person
from dashboard.selection import clip, state_to_params
from dashboard.settings import settings
from dashboard.words import literal
from storage import ROLES, VERDICTS, Agreement, Entry, Reviews, StoreError

MEANINGS = {
    "reader": "sees everything, writes nothing",
    "reviewer": "gives verdicts and tags, saves views",
    "admin": "does all that and gives roles",
}
SHOWN = 500  # lines of the log


def reviewers(standing: Mapping[str, Sequence[Entry]], suspects: int) -> None:
    """One row per reviewer of this run."""
    st.subheader("Reviewers")
    by_person: dict[str, Counter[str]] = {}
    for entries in standing.values():
        for entry in entries:
            by_person.setdefault(entry.reviewer, Counter())[entry.verdict] += 1
    if not by_person:
        st.caption("Nobody has given a verdict on this run's suspects yet.")
        st.page_link(
            "app_pages/suspects.py",
            label="Open the suspects",
            icon=":material/policy:",
            width="content",
            query_params=state_to_params(state.current()),
        )
        return
    number = st.column_config.NumberColumn
    config: dict[str, Any] = {
        "reviewer": st.column_config.TextColumn("Reviewer", pinned=True, width="medium"),
        "judged": number(f"Judged of {suspects}"),
        **{verdict: number(verdict.capitalize()) for verdict in VERDICTS},
    }
    ordered = sorted(by_person.items(), key=lambda item: (-item[1].total(), item[0]))
    rows = [{"reviewer": name, "judged": n.total(), **{v: n[v] for v in VERDICTS}} for name, n in ordered]
    st.dataframe(
        rows,
        hide_index=True,
        height="content",
        column_config=config,
        alt="Verdicts per reviewer",
    )


def agreement(found: Agreement) -> None:
    """Kappa in words, where there is something to agree about."""
    if not found.suspects:
        st.caption("Agreement is shown once two people have judged the same suspect.")
        return
    with st.grid(3, min_column_width=130, gap="xsmall"):
        st.metric("Judged by several", f"{found.suspects:,}", border=True)
        st.metric("All say the same", f"{found.agreed or 0:.0%}", border=True)
        st.metric(
            "Fleiss' kappa",
            "–" if found.kappa is None else f"{found.kappa:.2f}",
            border=True,
            help="1: full agreement; 0: as much as chance gives; undefined when everybody gave the same verdict.",
        )


def roles(opened: Reviews, person: Person) -> None:
    """Who may do what; an admin gives roles."""
    st.subheader("Roles")
    how = settings()
    st.caption(". ".join(f"{role.capitalize()}: {MEANINGS[role]}" for role in ROLES) + ".")
    if how.auth == "none":
        st.info(
            "This server has no log-in: people type their names and everybody may do everything. Start it with "
            "`--auth oidc` or `--auth header` for names that cannot be chosen, and for roles (docs/deployment.md).",
            icon=":material/lock_open:",
        )
        return
    known = [{"person": name, "role": "admin", "given by": "start of the server"} for name in how.admins]
    known += [
        {"person": m.person, "role": m.role, "given by": m.by} for m in opened.members() if m.person not in how.admins
    ]
    st.dataframe(known, hide_index=True, height="content", alt="People and their roles")
    nobody = "nothing" if how.default_role == "none" else "reader"
    everybody = "nothing" if how.default_role == "none" else how.default_role
    st.caption(f"Everybody else who is logged in: {everybody}. Who is not logged in: {nobody}.")
    if person.may_administer:
        with st.form("give_role", clear_on_submit=True, border=True):
            left, middle = st.columns(2)
            left.text_input("Person", key="role_person", max_chars=200, help="The name as it stands in the sidebar.")
            middle.selectbox("Role", ROLES, key="role_role")
            st.form_submit_button("Give role", on_click=give_role, args=(opened, person))


def give_role(opened: Reviews, person: Person) -> None:
    """Write the role that the form holds; a problem is shown at the top of the page."""
    try:
        opened.set_role(st.session_state["role_person"].strip(), st.session_state["role_role"], person.name)
    except StoreError as problem:
        state.add_problems([f"{problem}."])


def log(history: Sequence[Entry], names: Mapping[str, str]) -> None:
    """Everything that was said on this run, newest first."""
    st.subheader("Log")
    if not history:
        st.caption("Empty. Nothing in it is ever changed: undoing a verdict adds a line.")
        return
    undone = {entry.takes_back for entry in history if entry.takes_back is not None}
    st.dataframe(
        [line(entry, names, undone) for entry in reversed(history[-SHOWN:])],
        hide_index=True,
        height="content" if len(history) <= 12 else 460,
        alt="Log of verdicts, newest first",
        column_config={
            "at": st.column_config.DatetimeColumn("When", format="YYYY-MM-DD HH:mm:ss"),
            "reviewer": st.column_config.TextColumn("Who"),
            "suspect": st.column_config.TextColumn("Suspect", width="large"),
            "said": st.column_config.TextColumn("Verdict"),
            "note": st.column_config.TextColumn("Note", width="large"),
        },
    )
    if len(history) > SHOWN:
        st.caption(f"The last {SHOWN:,} of {len(history):,} lines; docs/reviews.md shows how to read all with SQL.")


def line(entry: Entry, names: Mapping[str, str], undone: set[int]) -> Row:
    """A line of the log as the table shows it."""
    said = entry.verdict or "took the verdict back"
    return {
        "at": entry.at,
        "reviewer": entry.reviewer,
        "suspect": names.get(entry.suspect, entry.suspect),
        "said": f"{said} (undone)" if entry.id in undone else said,
        "note": entry.note,
    }


def page() -> None:
    """The whole page."""
    run: Run = frame.run()
    opened, person, suspects = reviews.of(run.store), identity.current(), run.suspects().rows
    st.title("Team")
    st.caption(literal(f"Verdicts on the suspects of {run.id}"))
    if not opened.writable:
        st.warning("The reviews database cannot be written here: verdicts can be read, not given.")
    known = {row["id"] for row in suspects}
    standing = {name: given for name, given in reviews.standing(run.store, run.id).items() if name in known}
    reviewers(standing, len(suspects))
    agreement(opened.agreement(run.id))
    names = {row["id"]: clip(f"{row['class_name']}: {row['name']}", 80) for row in suspects}
    log(opened.history(run.id), names)
    roles(opened, person)


page()
