"""What a store of many samples costs: segments, bytes per sample, and a search in a share of the samples.

    python benchmarks/scaling_store.py [--json FILE] [--folder DIR] [--sections segments bytes search rule]

``segments``: one run in 1, 10, 100 and 300 segments of 256 samples each, and the same samples in one segment: opening
it, counting, the means of the maps of all classes from the segments' sums and from the maps, the first page of a sort.
Medians of new readers, wall time and CPU time of all threads. ``bytes``: segments with the columns that ViT-B/16 gives
(map of 196, feature of 768, 8 patches of 768 and their rest), with fewer patches, without any; and the same vectors in
a DuckDB file as float32 and as 8-bit numbers with a scale. ``search``: ``suspects --no-verify`` with the same
``--sample`` on stores of two sizes. ``rule``: how many segments a job leaves, by the writer's own rule; computed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import duckdb
import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.harness import peak_megabytes, report
from benchmarks.scale.make import CLASSES, GRID, PART, RUN, make_block, record
from benchmarks.suspects_scale import observations, write_observations
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import RunReader, RunWriter, Store, queries
from storage.queries import SampleQuery
from storage.segments import FILE_FORMAT, SEGMENT_SAMPLES
from storage.writer import parts_awaited

SECTIONS = ("segments", "bytes", "search", "rule")
QUERY = SampleQuery("predicted", sort="confidence")
CELLS, WIDTH, PATCHES = GRID * GRID, 768, 8
ROUNDS = 3
Row = dict[str, Any]


def main() -> None:
    """Measure some sections, print each row when it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path, help="where the stores are made meanwhile (default: a temporary one)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--segments", nargs="+", type=int, default=(1, 10, 100, 300))
    parser.add_argument("--samples", nargs=2, type=int, default=(5_000, 20_000), help="sizes of the section search")
    options = parser.parse_args()
    console, rows = Console(stderr=True), []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        work: dict[str, Callable[[], Iterator[Row]]] = {
            "segments": lambda: segments(Path(folder), options.segments),
            "bytes": lambda: size(Path(folder)),
            "search": lambda: search(Path(folder), options.samples),
            "rule": rule,
        }
        for section in options.sections:
            for row in work[section]():
                rows.append({"section": section, **row})
                console.print(" ".join(f"{key}={value}" for key, value in rows[-1].items()))
            report("scaling_store", rows, options.json)


def segments(folder: Path, counts: Sequence[int]) -> Iterator[Row]:
    """Rows of the section."""
    store = Store.open(folder / "many", create=True)
    done = 0
    for count in counts:
        began = time.perf_counter()
        with store.writer(RUN, record(folder, 0), seal_every=0, grace_seconds=0) as writer:
            for number in range(done, count):
                _commit(writer, number)
                writer.seal()
        yield _questions(store, count, count * PART) | {"made_s": round(time.perf_counter() - began, 1)}
        done = count
    one = Store.open(folder / "one", create=True)
    with one.writer(RUN, record(folder, 0), seal_every=0, grace_seconds=0) as writer:
        for number in range(done):
            _commit(writer, number)
        writer.seal()
    yield _questions(one, 1, done * PART)


def _commit(writer: RunWriter, number: int) -> None:
    writer.commit_part(number, make_block(np.arange(number * PART, (number + 1) * PART), ["a.jpg"]))


def _questions(store: Store, count: int, samples: int) -> Row:
    """Medians of readers that were just opened."""
    taken: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = work()
        taken.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - cpu))
        return found

    for _ in range(ROUNDS):
        with timed("open", lambda: store.reader(RUN)) as reader:
            assert timed("count", partial(queries.count, reader, QUERY)) == samples
            sums = timed("means_rollup", partial(_means_of_sums, reader))
            scanned = timed("means_scan", partial(_means_of_maps, reader))
            assert all(np.allclose(sums[name], scanned[name], rtol=1e-4) for name in CLASSES)
            timed("page", partial(queries.page, reader, QUERY))
            timed("page_again", partial(queries.page, reader, QUERY))
            timed("refresh", reader.refresh)
    row: Row = {"segments": count, "samples": samples}
    for name, seconds in taken.items():
        wall, cpu = (statistics.median(each) for each in zip(*seconds, strict=True))
        row |= {f"{name}_ms": round(1000 * wall, 1), f"{name}_cpu_ms": round(1000 * cpu, 1)}
    return row


def _means_of_sums(reader: RunReader) -> dict[str, Any]:
    rows = reader.query("SELECT predicted, n, sum_map FROM rollup_class")
    return {row["predicted"]: np.array(row["sum_map"]) / row["n"] for row in rows}


def _means_of_maps(reader: RunReader) -> dict[str, Any]:
    table = reader.table(
        f"SELECT e.predicted, m.vec FROM map_image_{CELLS} m JOIN explanations e USING (sample_id, target)"
    )
    maps = table["vec"].combine_chunks().flatten().to_numpy().reshape(-1, CELLS)
    names = np.array(table["predicted"].to_pylist())
    return {name: maps[names == name].mean(axis=0, dtype=np.float64) for name in CLASSES}


def size(folder: Path, samples: int = 16 * PART) -> Iterator[Row]:
    """Rows of the section ``bytes``."""
    for patches in (PATCHES, 3, 0):
        store = Store.open(folder / f"bytes{patches}", create=True)
        with store.writer(RUN, record(folder, samples), seal_every=0) as writer:
            for number in range(samples // PART):
                block = make_block(np.arange(number * PART, (number + 1) * PART), ["a.jpg"])
                writer.commit_part(number, _wide(block, patches, number))
            writer.seal()
        sealed = sum(path.stat().st_size for path in writer.run.segments.glob("*.duckdb"))
        parts = sum(path.stat().st_size for path in writer.run.parts.glob("*.parquet"))
        yield {
            "what": f"map {CELLS}, feature {WIDTH}, patches {patches} x {WIDTH}",
            "segment_bytes": round(sealed / samples),
            "part_bytes": round(parts / samples),
        }
    yield from _eight_bits(folder, samples)


def _wide(block: pa.Table, patches: int, seed: int) -> pa.Table:
    """The rows with a feature and patches of `WIDTH` values."""
    rng, n = np.random.default_rng(seed), len(block)
    block = block.set_column(block.schema.get_field_index("features"), "features", _lists(rng.normal(size=(n, WIDTH))))
    if not patches:
        return block
    tokens = rng.integers(0, CELLS, (n, patches)).astype(np.int32)
    block = block.append_column("patch_tokens", pa.array(list(tokens)))
    return block.append_column("patch_states", _lists(rng.normal(size=(n, (patches + 1) * WIDTH))))


def _lists(rows: Any) -> pa.Array:
    return pa.array(list(rows.astype(np.float32)))


def _eight_bits(folder: Path, samples: int) -> Iterator[Row]:
    """The vectors alone, as the store keeps them and as 8-bit numbers between the least and the largest of each."""
    block = make_block(np.arange(samples), ["a.jpg"])
    maps = np.stack(block["map"].to_numpy())
    states = np.random.default_rng(0).normal(size=(samples * (PATCHES + 1), WIDTH)).astype(np.float32)
    for name, vectors in (("map", maps), ("feature and patches", np.concatenate([states, states[:samples]]))):
        least, most = vectors.min(axis=1, keepdims=True), vectors.max(axis=1, keepdims=True)
        step = np.maximum((most - least) / 255, 1e-30)
        coded = np.rint((vectors - least) / step).astype(np.uint8)
        again = coded * step + least
        cosine = (again * vectors).sum(1) / np.linalg.norm(again, axis=1) / np.linalg.norm(vectors, axis=1)
        n = vectors.shape[1]
        plain = _file_bytes(folder / "plain.duckdb", pa.table({"vec": _lists(vectors)}), f"vec::FLOAT[{n}] AS vec")
        small = pa.table({"least": least[:, 0], "step": step[:, 0], "vec": pa.array(list(coded))})
        small_bytes = _file_bytes(folder / "small.duckdb", small, f"least, step, vec::UTINYINT[{n}] AS vec")
        yield {
            "what": f"{name}: float32 and 8 bits",
            "float_bytes": round(plain / samples),
            "eight_bit_bytes": round(small_bytes / samples),
            "smallest_cosine": round(float(cosine.min()), 6),
        }


def _file_bytes(path: Path, rows: pa.Table, columns: str) -> int:
    path.unlink(missing_ok=True)
    with duckdb.connect(":memory:") as con:
        con.execute(f"ATTACH '{path}' AS seg (STORAGE_VERSION '{FILE_FORMAT}')")
        con.register("incoming", rows)
        con.execute(f"CREATE TABLE seg.vectors AS SELECT {columns} FROM incoming")
        con.execute("CHECKPOINT seg")
    return path.stat().st_size


def search(folder: Path, sizes: Sequence[int]) -> Iterator[Row]:
    """Rows of the section ``search``: half of the smaller store is searched, then as many samples of the larger."""
    for samples in sizes:
        store = Store.open(folder / f"search{samples}", create=True)
        write_observations(store, observations(samples, 10), 10)
        given = SuspectsSpec(run=RUN, store=str(store.root), verify=False, sample=min(sizes) // 2)
        began = time.process_time()
        peak = peak_megabytes(partial(find_suspects, given))
        yield {
            "samples": samples,
            "searched": given.sample,
            "cpu_s": round(time.process_time() - began, 2),
            "peak_mb": round(peak),
        }


def rule() -> Iterator[Row]:
    """Rows of the section ``rule``."""
    for part in (PART, 4096):
        for samples in (10**6, 10**7, 10**8, 10**9):
            parts, sealed, count = -(-samples // part), 0, 0
            while sealed < parts:
                now = min(parts_awaited(sealed), parts - sealed)
                count += -(-now * part // SEGMENT_SAMPLES)
                sealed += now
            yield {"samples": samples, "part_size": part, "segments": count, "most_waiting": parts_awaited(sealed)}


if __name__ == "__main__":
    main()
