"""The bytes of a sample's picture, wherever they lie: a file, a member of a tar, a row of a table, an address.

Both the job and the dashboard ask here. A picture is named by the root of its dataset (a folder or an address) and
its uri, which says everything that is needed to find it again:

| uri                             | what it names                                                                     |
|---------------------------------|-----------------------------------------------------------------------------------|
| `cat/1.jpg`                     | a file below the root                                                             |
| `a.tar/x.jpg`                   | a member of a tar (WebDataset shard)                                              |
| `a.tar#1536+20480/x.jpg`        | the same where looking for it would be dear: 20480 bytes from byte 1536 on        |
| `data-0.arrow#12`, `a.parquet#12` | the picture in row 12 (from 0) of a Hugging Face table                          |
| `https://host/x.jpg`            | an address of its own                                                             |

Nothing is opened before it is read, and no file is kept open but memory maps, so that processes may be forked.
"""

from __future__ import annotations

from storage.media.errors import MediaError, MissingBackend, OutsideRoot
from storage.media.files import is_url
from storage.media.naming import joined, origin
from storage.media.place import LocalFile, Place, inside, locate

__all__ = [
    "LocalFile",
    "MediaError",
    "MissingBackend",
    "OutsideRoot",
    "Place",
    "inside",
    "is_url",
    "joined",
    "locate",
    "origin",
]
