"""The least that Streamlit can do: a title and one Plotly chart. What a page takes longer than this is ours."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

st.title("Bare")
st.plotly_chart(go.Figure(go.Bar(x=[1, 2, 3], y=[3, 1, 2])))
