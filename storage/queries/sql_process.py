"""The process that runs a user's SQL: few rights, little memory, and an end.

DuckDB stops between batches of rows only, and counts only part of the memory that its functions take: one call of
`levenshtein` runs for a minute, one of `lpad` takes gigabytes. So this process ends itself when a query overruns, the
system refuses it more memory than it needs, it can write no file, and it knows nothing of the server's environment.

Standard input gives one JSON line per query: {"run": folder, "text": ..., "rows": number, null for sample ids,
"seconds": ...}. Standard output gives a JSON line {"error": ... or null, "bytes": n, "last": whether the process ends
now} and n bytes of an Arrow stream.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from storage.errors import StoreError
from storage.layout import RunLayout
from storage.queries.sql_rules import checked
from storage.reader import RunReader

MEMORY = 2 * 2**30  # bytes beyond those that the process has when it begins
MOST_RESULT = 64 * 2**20  # bytes
GRACE, IDLE = 2.0, 120.0  # seconds a query may overrun; without a query
DUCKDB = "1GB"  # of it, for what DuckDB counts


def main() -> None:
    """Answer until there is nobody to ask."""
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, _memory() + MEMORY)
    reader: RunReader | None = None
    while select.select([sys.stdin], [], [], IDLE)[0] and (line := sys.stdin.readline()):
        asked = json.loads(line)
        overrun = threading.Timer(asked["seconds"] + GRACE, os._exit, [124])
        overrun.daemon = True
        overrun.start()
        error, found, spoiled = None, b"", False
        try:
            reader = _reader(reader, Path(asked["run"]))
            found = _answer(reader, asked)
        except StoreError as problem:
            error = str(problem).replace(asked["run"], Path(asked["run"]).name)
        except (MemoryError, pa.ArrowMemoryError):
            error, spoiled = f"the query needs more than {MEMORY >> 30} GB of memory; restrict it or ask for less", True
        finally:
            overrun.cancel()
        head = json.dumps({"error": error, "bytes": len(found), "last": spoiled})
        sys.stdout.buffer.write(head.encode() + b"\n" + found)
        sys.stdout.buffer.flush()
        if spoiled:  # who knows what stopped half-way
            return


def _reader(reader: RunReader | None, run: Path) -> RunReader:
    """The run as it is now; another one that was open is closed, for its memory counts too."""
    if reader is not None and reader.run.folder == run:
        reader.refresh()
        return reader
    if reader is not None:
        reader.close()
    return RunReader(RunLayout(run), memory=DUCKDB, spill=False)


def _answer(reader: RunReader, asked: dict[str, Any]) -> bytes:
    text, seconds = checked(reader, asked["text"]), float(asked["seconds"])
    if asked["rows"] is not None:
        return _run(reader, f"SELECT * FROM ({text}\n) LIMIT {int(asked['rows'])}", seconds)
    with pa.ipc.open_stream(_run(reader, f"SELECT * FROM ({text}\n) LIMIT 0", seconds)) as empty:
        names = empty.schema.names
    if "sample_id" not in names:
        raise StoreError(f"the query has no column 'sample_id', which says which samples it means; it has {names}")
    wanted = f"SELECT DISTINCT sample_id::BIGINT AS sample_id FROM ({text}\n) WHERE sample_id IS NOT NULL ORDER BY 1"
    return _run(reader, wanted, seconds)


def _run(reader: RunReader, sql: str, seconds: float) -> bytes:
    """The result as an Arrow stream, or StoreError; a query that takes too long is stopped."""

    def work(cursor: duckdb.DuckDBPyConnection) -> bytes:
        stop = threading.Timer(seconds, cursor.interrupt)
        stop.start()
        try:
            return _stream(cursor.sql(sql).to_arrow_reader(1024))
        except duckdb.InterruptException as error:
            raise StoreError(f"the query was stopped after {seconds:g} seconds; restrict it or ask for less") from error
        except duckdb.OutOfMemoryException as error:
            raise MemoryError from error
        except duckdb.IOException:
            raise
        except (duckdb.Error, pa.ArrowInvalid, UnicodeError) as error:
            raise StoreError(f"the query failed: {_first_line(error)}") from error
        finally:
            stop.cancel()

    return reader.retrying(work)


def _stream(batches: pa.RecordBatchReader) -> bytes:
    sink, size = pa.BufferOutputStream(), 0
    with pa.ipc.new_stream(sink, batches.schema) as out:
        for batch in batches:
            size += batch.get_total_buffer_size()
            if size > MOST_RESULT:
                raise StoreError(f"the query gives more than {MOST_RESULT >> 20} MB; ask for less")
            out.write_batch(batch)
    return bytes(sink.getvalue())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _limit(kind: int, most: int) -> None:
    with suppress(ValueError, OSError):  # a system without this limit
        resource.setrlimit(kind, (most, most))


def _memory() -> int:
    """Bytes of private memory that this process has mapped; a generous guess where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except (OSError, ValueError, IndexError):
        return 2 * 2**30
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
