"""The table behind a comparison: one row per sample that both runs explained, made by DuckDB from both runs' files."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb

from storage.errors import StoreError
from storage.queries.columns import targets
from storage.reader import RunReader, attach, connect
from storage.record import RunRecord
from storage.views import segment_alias, view_selects

SHARES = ("mask_share", "box_share", "border_share", "entropy")
BOTH = ("correct", "confidence", "score", *SHARES)
CHUNK = 100_000  # samples whose maps are in memory at once: 2 x 196 values of them take 160 MB
MEMORY = "1GB"
VIEWS = ("samples", "explanations", "map_")
_ATTEMPTS = 5
# what makes two maps comparable value by value, beside their length
# In a run of the first schema a grid may be a word: metadata of that name.
SAME_GRID = "coalesce({} AND {}, true)".format(
    *(f"try_cast(sa.{name} AS INTEGER) = try_cast(sb.{name} AS INTEGER)" for name in ("grid_h", "grid_w"))
)
SAMPLES = "JOIN a.samples sa ON sa.sample_id = k.id_a JOIN b.samples sb ON sb.sample_id = k.id_b"
SAME_LAYOUT = {
    "image": SAME_GRID,
    "varied": f"ma.n_valid = mb.n_valid AND {SAME_GRID} AND sa.regions IS NOT DISTINCT FROM sb.regions",
    "text": "ma.n_valid = mb.n_valid AND sa.tokens = sb.tokens",
}


class NothingInCommon(StoreError):
    """Two runs that share no sample, or no explained target."""


def same_data(a: RunRecord, b: RunRecord) -> bool:
    """Whether both runs are of one dataset, unchanged, so that their sample ids mean the same samples."""
    fingerprint = a.dataset.get("fingerprint")
    return bool(fingerprint) and fingerprint == b.dataset.get("fingerprint")


def shared_targets(a: RunReader, b: RunReader) -> list[tuple[str, str]]:
    """(target, modality) that both runs explained; what was predicted comes first, images before texts."""
    of_a, of_b = ({(row["target"], row["modality"]): row["n"] for row in targets(reader)} for reader in (a, b))
    return sorted(of_a.keys() & of_b.keys(), key=lambda key: (key[0] not in ("predicted", "answer"), -of_a[key], key))


def joined(a: RunReader, b: RunReader, target: str, modality: str) -> duckdb.DuckDBPyConnection:
    """A connection with the table `pairs`; the files of the runs are not needed any more.

    `pairs` has id_a, id_b, changed (the prediction), similarity of the maps, shift (of their centre of mass), moved,
    and every column of BOTH twice, as `<column>_a` and `<column>_b`. Raises NothingInCommon.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _built(a, b, target, modality)
        except duckdb.IOException as error:  # parts were sealed meanwhile
            problem = error
            if not any([a.refresh(), b.refresh()]):
                break
    said = str(problem).splitlines()[0]
    raise StoreError(f"runs {a.run.run_id!r} and {b.run.run_id!r} cannot be read together: {said}") from problem


def _built(a: RunReader, b: RunReader, target: str, modality: str) -> duckdb.DuckDBPyConnection:
    con = connect(a.run.folder, b.run.folder, memory=MEMORY)
    try:
        tables = [_views(con, name, reader) for name, reader in (("a", a), ("b", b))]
        _keys(con, same_data(a.record, b.record), target, modality)
        if not con.execute("SELECT count(*) FROM keys").fetchall()[0][0]:
            raise NothingInCommon(_nothing(a, b, target, modality))
        con.execute("CREATE TABLE likeness (id_a BIGINT, similarity FLOAT)")
        for name in sorted(tables[0] & tables[1] - {"samples", "explanations"}):
            kind = name.split("_")[1]
            if (kind == "text") == (modality == "text"):
                _compare_maps(con, name, kind, target)
        _pairs(con, target, modality)
        for table in ("keys", "likeness"):
            con.execute(f"DROP TABLE {table}")
        _release(con)
        return con
    except BaseException:
        con.close()
        raise


def _views(con: duckdb.DuckDBPyConnection, side: str, reader: RunReader) -> set[str]:
    """A schema `a` or `b` with the views of a run; their names."""
    con.execute(f"CREATE SCHEMA {side}")
    snapshot, cursor = reader.snapshot, con.cursor()
    aliases = {f"{side}_{segment_alias(segment)}": segment for segment in snapshot.segments}
    catalog = attach(cursor, reader.run, aliases)
    selects = view_selects(reader.run, reader.record, snapshot, catalog)
    wanted = {name: select for name, select in selects.items() if name.startswith(VIEWS)}
    for name, select in wanted.items():
        con.execute(f"CREATE VIEW {side}.{name} AS {select}")
    return set(wanted)


def _keys(con: duckdb.DuckDBPyConnection, by_id: bool, target: str, modality: str) -> None:
    """Tables `keys` (id_a, id_b), and `outside` with the number of samples that only one run has."""
    for side in ("a", "b"):
        con.execute(
            f"CREATE TEMP VIEW ids_{side} AS SELECT sample_id FROM {side}.explanations "
            f"WHERE target = {_quoted(target)} AND modality = {_quoted(modality)}"
        )
    if by_id:
        con.execute(
            "CREATE TABLE keys AS SELECT sample_id AS id_a, sample_id AS id_b FROM ids_a JOIN ids_b USING (sample_id)"
        )
    else:  # a picture may occur several times, with other texts or with the same
        for side in ("a", "b"):
            con.execute(
                f"CREATE TEMP VIEW named_{side} AS SELECT sample_id, uri, text, "
                "row_number() OVER (PARTITION BY uri, text ORDER BY sample_id) AS nth "
                f"FROM {side}.samples SEMI JOIN ids_{side} USING (sample_id)"
            )
        con.execute(
            "CREATE TABLE keys AS SELECT na.sample_id AS id_a, nb.sample_id AS id_b FROM named_a na JOIN named_b nb "
            "ON na.uri = nb.uri AND na.nth = nb.nth AND na.text IS NOT DISTINCT FROM nb.text"
        )
    con.execute(
        "CREATE TABLE outside AS SELECT (SELECT count(*) FROM ids_a) - n AS only_a, (SELECT count(*) FROM ids_b) - n "
        "AS only_b FROM (SELECT count(*) AS n FROM keys)"
    )


def _nothing(a: RunReader, b: RunReader, target: str, modality: str) -> str:
    roots = [str(reader.record.dataset.get("root")) for reader in (a, b)]
    return (
        f"runs {a.run.run_id!r} and {b.run.run_id!r} have no sample in common (target {target!r}, {modality}): the "
        f"first is of {roots[0]}, the second of {roots[1]}; compare two runs of one dataset"
    )


def _compare_maps(con: duckdb.DuckDBPyConnection, table: str, kind: str, target: str) -> None:
    """Fill `likeness` from the maps of one table, some samples at a time: all maps together may not fit."""
    layout, samples = SAME_LAYOUT[kind], SAMPLES
    if kind == "image" and (one := _one_grid(con)) is not None:  # no need to look at every sample
        if not one:
            return
        layout, samples = "true", ""
    for low_a, high_a, low_b, high_b in _chunks(con):
        con.execute(
            "INSERT INTO likeness SELECT k.id_a, array_cosine_similarity(ma.vec, mb.vec) FROM keys k "
            f"JOIN a.{table} ma ON ma.sample_id = k.id_a JOIN b.{table} mb ON mb.sample_id = k.id_b "
            f"{samples} WHERE ma.target = $target AND mb.target = $target AND {layout} "
            "AND k.id_a BETWEEN $low_a AND $high_a AND ma.sample_id BETWEEN $low_a AND $high_a "
            "AND mb.sample_id BETWEEN $low_b AND $high_b",
            {"target": target, "low_a": low_a, "high_a": high_a, "low_b": low_b, "high_b": high_b},
        )


def _one_grid(con: duckdb.DuckDBPyConnection) -> bool | None:
    """Whether the pictures of both runs have one and the same grid; None when it is not one grid in each run."""
    found = [con.execute(f"SELECT DISTINCT grid_h, grid_w FROM {side}.samples LIMIT 2").fetchall() for side in "ab"]
    if any(len(grids) != 1 or not all(isinstance(edge, int) for edge in grids[0]) for grids in found):
        return None
    return found[0] == found[1]


def _chunks(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of ids, in A and the ones they go with in B; together they cover `keys`."""
    yield from con.execute(
        "SELECT min(id_a), max(id_a), min(id_b), max(id_b) FROM (SELECT *, "
        f"(row_number() OVER (ORDER BY id_a) - 1) // {CHUNK} AS chunk FROM keys) GROUP BY chunk ORDER BY chunk"
    ).fetchall()


def _pairs(con: duckdb.DuckDBPyConnection, target: str, modality: str) -> None:
    """The table `pairs` from `keys`, `likeness` and both runs' explanations."""
    both = ", ".join(f"ea.{name} AS {name}_a, eb.{name} AS {name}_b" for name in BOTH)
    change = ", ".join(f"abs(ea.{name} - eb.{name})" for name in SHARES)
    con.execute(
        "CREATE TABLE pairs AS SELECT k.id_a, k.id_b, ea.predicted IS DISTINCT FROM eb.predicted AS changed, "
        "CASE WHEN isfinite(l.similarity) THEN l.similarity END AS similarity, "
        "sqrt(pow(ea.center_x - eb.center_x, 2) + pow(ea.center_y - eb.center_y, 2))::FLOAT AS shift, "
        f"coalesce(1 - CASE WHEN isfinite(l.similarity) THEN l.similarity END, list_max([{change}]))::FLOAT AS moved, "
        f"{both} FROM keys k JOIN a.explanations ea ON ea.sample_id = k.id_a "
        "JOIN b.explanations eb ON eb.sample_id = k.id_b LEFT JOIN likeness l ON l.id_a = k.id_a "
        "WHERE ea.target = $target AND eb.target = $target AND ea.modality = $modality AND eb.modality = $modality",
        {"target": target, "modality": modality},
    )


def _release(con: duckdb.DuckDBPyConnection) -> None:
    """Let go of the runs' files; only the tables made from them stay."""
    for side in ("a", "b"):
        for view in ("named", "ids"):
            con.execute(f"DROP VIEW IF EXISTS {view}_{side}")
        con.execute(f"DROP SCHEMA {side} CASCADE")
    for (name,) in con.execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL").fetchall():
        con.execute(f'DETACH "{name}"')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
