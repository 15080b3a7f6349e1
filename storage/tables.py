"""SQL: how each table of the store is read out of Parquet parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from storage.columns import FAILURE_COLUMNS, ROLLUP_COLUMNS, SAMPLE_COLUMNS, Column
from storage.layout import RunLayout
from storage.manifests import Contents, PartManifest
from storage.schema import (
    TEXT_WIDTH_STEP,
    VARIED_WIDTH_STEP,
    explanation_columns,
    has_patches,
    part_columns,
    sample_columns,
    varied,
)

# table name -> its columns as (name, DuckDB type)
Columns = list[tuple[str, str]]


def identifier(name: str) -> str:
    """A quoted SQL name."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A quoted SQL string."""
    return "'" + text.replace("'", "''") + "'"


def parquet(files: Iterable[Path]) -> str:
    """A table function over some Parquet files. A `*` in a folder's name is no pattern."""
    return f"read_parquet([{', '.join(literal(no_pattern(str(file))) for file in files)}])"


def part_source(run: RunLayout, parts: Iterable[PartManifest], metadata: Iterable[Mapping[str, Any]]) -> str:
    """A relation with all columns of the parts; what a part of an earlier schema lacks is NULL there."""
    by_version: dict[int, list[Path]] = {}
    for part in parts:
        by_version.setdefault(part.schema_version, []).append(run.part(part.part))
    columns = part_columns(metadata)
    sources = []
    for version, files in by_version.items():
        lacking = [f"NULL::{c.sql_type} AS {identifier(c.name)}" for c in columns if c.since > version]
        sources.append(f"SELECT {', '.join(['*', *lacking])} FROM {parquet(files)}" if lacking else parquet(files))
    if len(sources) == 1 and not sources[0].startswith("SELECT"):
        return sources[0]
    wrapped = (source if source.startswith("SELECT") else f"SELECT * FROM {source}" for source in sources)
    return f"({' UNION ALL BY NAME '.join(wrapped)})"


def no_pattern(path: str) -> str:
    """The path as a pattern that matches only itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)


def table_columns(contents: Contents, metadata: Iterable[Mapping[str, Any]]) -> dict[str, Columns]:
    """Name and columns of every table that a run with these contents has."""
    key = [("sample_id", "BIGINT"), ("target", "VARCHAR")]
    metadata = list(metadata)
    tables = {
        "samples": _typed(sample_columns(metadata)),
        "explanations": _typed([SAMPLE_COLUMNS[0], *explanation_columns(metadata)]),
        "failures": _typed(FAILURE_COLUMNS),
        "rollup_class": _typed(ROLLUP_COLUMNS),
    }
    for n in contents.image_widths:
        tables[f"map_image_{n}"] = [*key, ("vec", f"FLOAT[{n}]")]
    for kind, widths in (("text", contents.text_widths), ("varied", contents.varied_widths)):
        tables |= {f"map_{kind}_{n}": [*key, ("n_valid", "SMALLINT"), ("vec", f"FLOAT[{n}]")] for n in widths}
    for n in contents.feature_widths:
        tables[f"features_{n}"] = [*key, ("modality", "VARCHAR"), ("vec", f"FLOAT[{n}]")]
    for n in contents.patch_widths:
        tables[f"patches_{n}"] = [*key, ("slot", "SMALLINT"), ("token", "INTEGER"), ("vec", f"FLOAT[{n}]")]
    for n in contents.embedding_widths:
        tables[f"embedding_{n}"] = [("sample_id", "BIGINT"), ("modality", "VARCHAR"), ("vec", f"FLOAT[{n}]")]
    return tables


def _typed(columns: Sequence[Column]) -> Columns:
    return [(column.name, column.sql_type) for column in columns]


def part_selects(source: str, contents: Contents, metadata: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """One SELECT per table over `source`, a relation with the columns of a part.

    Vectors are cast inside the SELECT, behind the filter on their length, so mixed widths never meet.
    `failures` and `rollup_class` are not read from parts' columns and are left out; patches have `patch_selects`.
    """
    metadata = list(metadata)
    explained = _names([SAMPLE_COLUMNS[0], *explanation_columns(metadata)])
    selects = {
        "samples": f"SELECT {_names(sample_columns(metadata))} FROM {source} WHERE sample_first",
        "explanations": f"SELECT {explained} FROM {source}",
    }
    for n in contents.image_widths:
        selects[f"map_image_{n}"] = (
            f"SELECT sample_id, target, map::FLOAT[{n}] AS vec FROM {source} "
            f"WHERE {summable(metadata)} AND len(map) = {n}"
        )
    for n in contents.text_widths:
        selects[f"map_text_{n}"] = _padded(source, n, TEXT_WIDTH_STEP, "modality = 'text'")
    for n in contents.varied_widths:
        selects[f"map_varied_{n}"] = _padded(source, n, VARIED_WIDTH_STEP, _varied(metadata))
    for n in contents.feature_widths:
        selects[f"features_{n}"] = (
            f"SELECT sample_id, target, modality, features::FLOAT[{n}] AS vec FROM {source} WHERE len(features) = {n}"
        )
    for n in contents.embedding_widths:
        selects[f"embedding_{n}"] = (
            f"SELECT sample_id, modality, embedding::FLOAT[{n}] AS vec FROM {source} WHERE len(embedding) = {n}"
        )
    return selects


def patch_selects(source: str, contents: Contents, metadata: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """One SELECT per table of patches."""
    return {f"patches_{n}": _patches(source, n) for n in contents.patch_widths} if has_patches(metadata) else {}


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(identifier(column.name) for column in columns)


def _patches(source: str, width: int) -> str:
    """One row per patch and one for the rest. All lists of a row are taken apart in one scan; the states are cut before
    they are spread, so that no row carries the others' states along."""
    state = f"patch_states[slot * {width} + 1 : (slot + 1) * {width}]"
    return (
        "SELECT sample_id, target, unnest(list_append(range(len(patch_tokens)), -1))::SMALLINT AS slot, "
        "unnest(list_append(patch_tokens, NULL))::INTEGER AS token, "
        f"unnest(list_transform(range(len(patch_tokens) + 1), lambda slot: {state}))::FLOAT[{width}] AS vec "
        f"FROM {source} WHERE len(patch_states) = {width} * (len(patch_tokens) + 1)"
    )


def _padded(source: str, width: int, step: int, condition: str) -> str:
    """Maps of up to `width` values (and more than the next smaller table takes), padded with zeros."""
    return (
        f"SELECT sample_id, target, len(map)::SMALLINT AS n_valid, "
        f"list_resize(map, {width}, 0.0::FLOAT)::FLOAT[{width}] AS vec FROM {source} "
        f"WHERE {condition} AND len(map) > {width - step} AND len(map) <= {width}"
    )


def summable(metadata: Iterable[Mapping[str, Any]]) -> str:
    """Condition on rows of a part whose maps add up position by position: image grids, not regions nor detections."""
    return " AND ".join(["modality = 'image'", *(f"{name} IS NULL" for name in varied(list(metadata)))])


def _varied(metadata: Iterable[Mapping[str, Any]]) -> str:
    """Condition on the other rows of images."""
    own = " OR ".join(f"{name} IS NOT NULL" for name in varied(list(metadata)))
    return f"modality = 'image' AND ({own or 'false'})"


def rollup_select(source: str, metadata: Iterable[Mapping[str, Any]]) -> str:
    """Sums of the image maps per (target, predicted) over `source`, a relation with the columns of a part."""
    return (
        "SELECT target, modality, predicted, width, n, list(total ORDER BY i) AS sum_map FROM ("
        "SELECT target, modality, predicted, width, i, count(*) AS n, sum(x::DOUBLE) AS total FROM ("
        "SELECT target, modality, predicted, len(map)::INTEGER AS width, unnest(map) AS x, "
        f"generate_subscripts(map, 1) AS i FROM {source} WHERE {summable(metadata)}) GROUP BY ALL) GROUP BY ALL"
    )


def merged_rollup(union: str) -> str:
    """One row per (target, modality, predicted, width) from several rollups with the same columns."""
    return (
        "SELECT target, modality, predicted, width, n::BIGINT AS n, list(total ORDER BY i) AS sum_map FROM ("
        "SELECT target, modality, predicted, width, i, sum(n) AS n, sum(x) AS total FROM ("
        "SELECT target, modality, predicted, width, n, unnest(sum_map) AS x, "
        f"generate_subscripts(sum_map, 1) AS i FROM ({union})) GROUP BY ALL) GROUP BY ALL"
    )
