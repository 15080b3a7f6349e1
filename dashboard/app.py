"""Entry point of the dashboard: ``streamlit run dashboard/app.py -- --store DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts the folder of this script on the path, not the one above it
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402

from dashboard import frame, state  # noqa: E402
from dashboard.settings import store_path  # noqa: E402
from storage import StoreError  # noqa: E402

PAGES = [
    st.Page("app_pages/home.py", title="Home", default=True, visibility="hidden"),
    st.Page("app_pages/overview.py", title="Overview", icon=":material/dashboard:", url_path="overview"),
    st.Page("app_pages/samples.py", title="Samples", icon=":material/grid_view:", url_path="samples"),
    st.Page("app_pages/sample.py", title="Sample", icon=":material/image_search:", url_path="sample"),
    st.Page("app_pages/runs.py", title="Runs", icon=":material/monitor_heart:", url_path="runs"),
]

st.set_page_config(page_title="Relevancy Audit", page_icon=str(HERE / "icon.png"), layout="wide")
st.logo(str(HERE / "logo.svg"), size="large", icon_image=str(HERE / "icon.png"))
page = st.navigation(PAGES, position="hidden")  # its links would drop the view from the URL; frame draws our own
if page.url_path == "":
    page.run()  # leads on to the front page
store = store_path()
state.read_url()
try:
    runs = frame.open_selected(store)
    frame.links_to(PAGES[1:])
    if runs:
        frame.choices(runs)
        state.write_url()
        frame.show_problems()
        link = st.sidebar.container()  # above what the page adds to the sidebar, but filled when the view is settled
        page.run()
        frame.link_field(link, page.url_path or "overview")
    else:
        frame.no_store(store)
except StoreError as error:
    frame.failed(error)
