"""The bare address leads to the front page, which keeps an address of its own for links."""

from __future__ import annotations

import streamlit as st

params = {name: st.query_params.get_all(name) for name in st.query_params}
st.switch_page("app_pages/suspects.py", query_params=params)
