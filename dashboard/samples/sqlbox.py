"""A box for people who know SQL: look things up in the run, and use what was found as a filter."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import state
from dashboard.data import Row, Run
from dashboard.selection import MAX_SQL, Selection, clip
from dashboard.words import literal
from storage import RunReader, StoreError, queries
from storage.columns import TABLES

ROWS, CELL = 1_000, 300
EXAMPLES = {
    "Wrong but sure": "SELECT sample_id, label, predicted, confidence\n"
    "FROM explanations JOIN samples USING (sample_id)\n"
    "WHERE NOT correct AND target = 'predicted'\nORDER BY confidence DESC",
    "Relevancy in a corner": "SELECT sample_id, greatest(corner_tl, corner_tr, corner_bl, corner_br) AS corner\n"
    "FROM explanations\nWHERE greatest(corner_tl, corner_tr, corner_bl, corner_br) > 0.2\nORDER BY corner DESC",
    "Accuracy by label": "SELECT label, count(*) AS n, avg(correct::INTEGER) AS accuracy\n"
    "FROM explanations JOIN samples USING (sample_id)\nGROUP BY label ORDER BY accuracy",
}
_TEXT, _RAN = "sql_text", "sql_ran"


def draw(run: Run, chosen: Selection) -> None:
    """The box."""
    with st.container(border=True):
        _box(run, chosen)


def _box(run: Run, chosen: Selection) -> None:
    st.caption("One SELECT over the tables of this run. Nothing can be changed, and no file or network be reached.")
    with st.container(horizontal=True, vertical_alignment="center"):
        _tables(run)
        st.caption("Examples", width="content")
        for number, (name, text) in enumerate(EXAMPLES.items()):
            st.button(name, key=f"sql_example_{number}", type="tertiary", on_click=_take, args=(text,))
    st.session_state.setdefault(_TEXT, chosen.sql)
    text = st.text_area(
        "Query",
        key=_TEXT,
        max_chars=MAX_SQL,
        height=140,
        placeholder="SELECT sample_id FROM explanations WHERE entropy < 0.5",
    )
    ran = str(st.session_state.get(_RAN, ""))
    found, columns, problem = answer(run, ran) if ran and ran == text else ([], [], "")
    with st.container(horizontal=True):
        st.button("Run", icon=":material/play_arrow:", key="sql_run", type="primary", on_click=_run)
        if "sample_id" in columns:
            st.button(
                "Use as filter",
                icon=":material/filter_alt:",
                key="sql_filter",
                disabled=ran == chosen.sql,
                help="Shows only the samples whose sample_id the query gives; the query goes into the link",
                on_click=state.change,
                kwargs={"sql": ran},
            )
    if problem:
        st.error(literal(f"{problem}."), icon=":material/error:")
    elif columns:
        _result(found, columns)


def _result(found: list[Row], columns: list[str]) -> None:
    more = len(found) > ROWS
    st.caption(f"The first {ROWS:,} rows" if more else f"{len(found):,} {'row' if len(found) == 1 else 'rows'}")
    st.dataframe(
        {name: [row[name] for row in found[:ROWS]] for name in columns},
        hide_index=True,
        height="content" if len(found) <= 10 else 390,
        alt="Result of the query",
        column_config={name: st.column_config.TextColumn(clip(name, 60)) for name in columns},
    )


def _run() -> None:
    st.session_state[_RAN] = st.session_state.get(_TEXT, "")


def _take(text: str) -> None:
    st.session_state[_TEXT] = st.session_state[_RAN] = text


def _tables(run: Run) -> None:
    """What a query may name."""
    with st.popover("Tables and columns", icon=":material/table:"):
        tables = queries.sql_tables(run.reader)
        order = [name for name in ("samples", "explanations") if name in tables]
        name = st.segmented_control(
            "Table",
            order + [name for name in tables if name not in order],
            required=True,
            default=order[0],
            key="sql_table",
        )
        st.dataframe(
            described(run, str(name)),
            hide_index=True,
            height=360,
            width=640,
            alt=f"Columns of the table {name}",
            column_config={
                "column": st.column_config.TextColumn("Column", pinned=True),
                "type": st.column_config.TextColumn("Type"),
                "unit": st.column_config.TextColumn("Unit"),
                "meaning": st.column_config.TextColumn("Meaning", width="large"),
            },
        )


def described(run: Run, table: str) -> list[dict[str, str]]:
    """Name, type, unit and meaning of the columns of a table; those of the dataset, as the dataset calls them."""
    family = next((name for name in TABLES if name == table or name.split("<")[0] == table.rstrip("0123456789")), None)
    known = {column.name: column for column in TABLES[family]} if family else {}
    own = {str(entry["column"]): str(entry["name"]) for entry in run.record.metadata}
    rows = []
    for row in run.reader.query(f'DESCRIBE "{table}"'):
        name, column = row["column_name"], known.get(row["column_name"])
        meaning = column.meaning if column else f"“{own[name]}” of the dataset" if name in own else ""
        rows.append(
            {"column": name, "type": row["column_type"], "unit": column.unit if column else "", "meaning": meaning}
        )
    return rows


def answer(run: Run, text: str) -> tuple[list[Row], list[str], str]:
    """(rows as text, columns, problem) of a query; one row more than is shown, where there are more."""
    return _answer(str(run.store), run.id, run.reader.version, text, run.reader)


@st.cache_data(show_spinner="Asking the run …", max_entries=32)
def _answer(store: str, run: str, version: str, text: str, _reader: RunReader) -> tuple[list[Row], list[str], str]:
    try:
        table = queries.run_sql(_reader, text, rows=ROWS + 1)
    except StoreError as problem:
        return [], [], str(problem)
    return [{name: _plain(value) for name, value in row.items()} for row in table.to_pylist()], table.column_names, ""


def _plain(value: Any) -> str | None:
    return None if value is None else f"{value:.6g}" if isinstance(value, float) else clip(str(value), CELL)
