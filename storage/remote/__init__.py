"""A store behind a URL: mirrored on this machine, where DuckDB reads it, and sent back part by part."""

from __future__ import annotations

from storage.remote.following import Following
from storage.remote.mirror import Mirror, address_of
from storage.remote.sending import Sending

__all__ = ["Following", "Mirror", "Sending", "address_of"]
