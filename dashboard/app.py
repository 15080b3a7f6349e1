"""Entry point of the dashboard: ``streamlit run dashboard/app.py -- --store DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:  # Streamlit puts the folder of this script on the path, not the one above it
    sys.path.insert(0, str(HERE.parent))

import streamlit as st  # noqa: E402

from dashboard import frame, identity, state  # noqa: E402
from dashboard.data import Run, follow  # noqa: E402
from dashboard.settings import settings, store_path  # noqa: E402
from storage import StoreError  # noqa: E402


def _page(name: str, title: str, icon: str) -> st.Page:
    return st.Page(f"app_pages/{name}.py", title=title, icon=f":material/{icon}:", url_path=name)


HOME = st.Page("app_pages/home.py", title="Home", default=True, visibility="hidden")
PAGES = {
    "suspects": _page("suspects", "Suspects", "policy"),
    "evidence": _page("evidence", "Evidence", "fact_check"),
    "samples": _page("samples", "Samples", "grid_view"),
    "sample": _page("sample", "Sample", "image_search"),
    "scores": _page("scores", "CLIP scores", "compare"),
    "words": _page("words", "Words", "match_word"),
    "overview": _page("overview", "Overview", "dashboard"),
    "compare": _page("compare", "Compare", "difference"),
    "faithfulness": _page("faithfulness", "Faithfulness", "verified"),
    "report": _page("report", "Report", "summarize"),
    "runs": _page("runs", "Runs", "monitor_heart"),
    "team": _page("team", "Team", "group"),
}


def shown(run: Run | None) -> list[st.Page]:
    """The pages that a run has something for."""
    needs = {"scores": run is None or run.has_pairs, "words": run is None or run.has_words}
    return [page for name, page in PAGES.items() if needs.get(name, True)]


st.set_page_config(page_title="Relevancy Audit", page_icon=str(HERE / "icon.png"), layout="wide")
st.logo(str(HERE / "logo.svg"), size="large", icon_image=str(HERE / "icon.png"))
page = st.navigation([HOME, *PAGES.values()], position="hidden")  # its links would drop the view: frame draws our own
try:
    if not (person := identity.current()).may_read:
        identity.closed(person)
        st.stop()  # before anything is read: a picture has an address only once it was drawn for somebody
    if page.url_path == "":
        page.run()  # leads on to the front page
    store = store_path()
    if mirror := settings().mirror:
        frame.show_mirror(follow(mirror))
    state.read_url()
    runs = frame.open_selected(store)
    frame.links_to(shown(frame.run() if runs else None))
    if runs:
        frame.choices(runs)
        state.write_url()
        frame.show_problems()
        frame.show_unreactive(page.url_path)
        link = st.sidebar.container()  # above what the page adds to the sidebar, but filled when the view is settled
        page.run()
        frame.link_field(link, page.url_path or "suspects")
        identity.panel()
    else:
        frame.no_store(store)
except StoreError as error:
    frame.failed(error)
