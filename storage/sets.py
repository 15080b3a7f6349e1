"""Sets of samples that a reader keeps beside its views, so that a query of any size can name them."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable

import duckdb
import numpy as np
import pyarrow as pa

from storage.errors import StoreError

MOST = 64  # sets; a million ids take 8 MB


class SampleSets:
    """Sets of sample ids by a name that is made from their content; the longest unused are forgotten."""

    def __init__(self, root: duckdb.DuckDBPyConnection) -> None:
        self._root = root
        self._guard = threading.Lock()
        self._kept: OrderedDict[str, None] = OrderedDict()

    def keep(self, ids: Iterable[int] | np.ndarray) -> str:
        """Keep a set of sample ids; the same ids have the same name, in any order. Cheap when it is kept already."""
        given = ids if isinstance(ids, np.ndarray) else np.fromiter((int(i) for i in ids), dtype=np.int64)
        unique = np.unique(given.astype(np.int64, copy=False))
        name = hashlib.sha256(unique.tobytes()).hexdigest()[:24]
        with self._guard:
            if name not in self._kept:
                cursor = self._root.cursor()
                cursor.register("incoming_set", pa.table({"sample_id": unique}))
                cursor.execute(f"CREATE OR REPLACE TABLE set_{name} AS SELECT sample_id FROM incoming_set")
                cursor.unregister("incoming_set")
            self._kept[name] = None
            self._kept.move_to_end(name)
            while len(self._kept) > MOST:
                forgotten, _ = self._kept.popitem(last=False)
                self._root.cursor().execute(f"DROP TABLE IF EXISTS set_{forgotten}")
        return name

    def table(self, name: str) -> str:
        """The table of a set, for SQL. Raises StoreError when it is not kept (any more)."""
        with self._guard:
            if name not in self._kept:
                raise StoreError(f"the set of samples {name!r} is not kept; give its ids to `keep` again")
        return f"set_{name}"
