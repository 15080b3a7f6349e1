"""How kinds and statuses of suspects look: an icon beside every word, so that no colour is the only sign."""

from __future__ import annotations

from typing import Any, Literal

import streamlit as st

from dashboard.data import Row
from dashboard.words import literal
from storage import wording

Color = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]

ICONS = {
    "concept": "texture",
    "location": "location_on",
    "property": "tune",
    "word": "match_word",
    "pair_mismatch": "link_off",
    "pair_mark": "branding_watermark",
    "pair_cue": "join_inner",
    "pair_place": "location_on",
    "pair_property": "tune",
    "pair_word": "match_word",
    "pair_unsupported": "speaker_notes_off",
}
STATUS: dict[str, tuple[str, Color]] = {
    "verified": ("verified", "blue"),
    "refuted": ("block", "gray"),
    "unverified": ("pending", "gray"),
}


def icon(kind: str) -> str:
    """The icon of a kind, as Streamlit names icons."""
    return f":material/{ICONS.get(kind, 'category')}:"


def badges(row: Row) -> None:
    """Kind, status, and whether the suspect is probably spurious."""
    kind, status = str(row["kind"]), str(row["status"])
    st.badge(
        literal(wording.kind_name(kind)),
        icon=icon(kind),
        color="gray",
        help=literal(wording.kind_meaning(kind)) or None,
    )
    name, color = STATUS.get(status, ("pending", "gray"))
    st.badge(
        literal(status),
        icon=f":material/{name}:",
        color=color,
        help=literal(wording.sentence(wording.status_line({**row, "flagged": False}))),
    )
    if row["flagged"]:
        st.badge("probably spurious", icon=":material/flag:", color="orange", help=FLAG)


FLAG = (
    "The model uses the cue, more than chance would explain, and it lies off the object or on diverse pictures. "
    "A cautious call of the machine: people decide."
)


def names(kinds: Any) -> dict[str, str]:
    """What people call each of some kinds; two of one name are told apart."""
    found = {kind: wording.kind_name(kind) for kind in kinds}
    twice = {name for name in found.values() if list(found.values()).count(name) > 1}
    return {kind: f"{name} ({kind})" if name in twice else name for kind, name in found.items()}
