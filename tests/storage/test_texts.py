"""Which texts hold some letters: kept in lower case, by their few values, or read again, as SQL finds them."""

from __future__ import annotations

import pytest

from storage import RunReader
from storage.queries import Filter, SampleQuery, texts
from storage.queries.order import ids
from tests.storage.test_order import by_sql

LETTERS = ("no. 1", "NO. 1", "ANT", "e/", "%", "_", "'", "?", "é", "İ", "nothing of the kind", "")


@pytest.fixture(params=["kept", "few values", "read again"])
def way(request: pytest.FixtureRequest, reader: RunReader, monkeypatch: pytest.MonkeyPatch) -> str:
    """Forces every column of texts to be answered in one way."""
    monkeypatch.setattr(texts, "repeats", lambda reader, name: request.param == "few values")
    if request.param == "read again":
        monkeypatch.setattr(texts, "ROOM", -1)
    assert texts.keeps_texts(reader, "predicted", "image", "text") == (request.param != "read again")
    return str(request.param)


@pytest.mark.parametrize("modality", ["image", "text"])
@pytest.mark.parametrize("column", ["text", "uri", "label", "predicted", "camera"])
def test_filters_find_what_sql_finds(reader: RunReader, way: str, column: str, modality: str) -> None:
    found = {}
    for letters in LETTERS:
        query = SampleQuery("predicted", modality, filters=(Filter(column, "contains", letters),))
        found[letters] = ids(reader, query).tolist()
        assert found[letters] == sorted(by_sql(reader, query)), (way, letters)
    assert (
        found[""] and not found["nothing of the kind"] and (column != "text" or found["no. 1"] == found["NO. 1"] != [])
    )


@pytest.mark.parametrize("search", ["no. 1", "ANT", "Bee", "jpg", "é", "nothing"])
def test_searches_find_what_sql_finds(reader: RunReader, way: str, search: str) -> None:
    query = SampleQuery("predicted", search=search)
    assert ids(reader, query).tolist() == sorted(by_sql(reader, query)), way


def test_numbers_and_lists_are_not_kept(reader: RunReader) -> None:
    assert not texts.keeps_texts(reader, "predicted", "image", "tokens")
    assert not texts.keeps_texts(reader, "predicted", "image", "score")
