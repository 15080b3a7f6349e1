"""Where the tests keep reviews: SQLite always; Postgres too when RELEVANCY_AUDIT_TEST_DATABASE holds its address.

The role at that address must be allowed to make schemas: every test gets one of its own, which is dropped after it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

ADDRESS = "RELEVANCY_AUDIT_TEST_DATABASE"
PLACES = ["sqlite", "postgres"] if os.environ.get(ADDRESS) else ["sqlite"]


@contextmanager
def place(kind: str) -> Iterator[str | None]:
    """The `url` for `Reviews.open`: None for the store's own file, or an empty schema of the server."""
    if kind == "sqlite":
        yield None
        return
    url, schema = make_url(os.environ[ADDRESS]), f"review_test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        own = url.update_query_dict({"options": f"-csearch_path={schema}"})
        yield own.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()
