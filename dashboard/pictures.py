"""Pictures on a page."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from dashboard.overlays import data_url


def draw_picture(jpeg: bytes, alt: str, link: str | None = None, width: int | Literal["stretch"] = "stretch") -> None:
    """A picture that travels inside the page.

    Given as bytes, it would get an address of the server below `/media/`. Streamlit forgets such a picture as soon as
    nobody's script has drawn it lately, also while somebody's browser is still fetching it for the view before: where
    the next view shows the same picture, it stays broken. And whoever knows the address could open it.
    """
    st.image(data_url(jpeg), width=width, link=link, alt=alt)
