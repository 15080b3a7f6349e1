"""What can be wrong with where pictures lie."""

from __future__ import annotations

from storage.errors import StoreError


class MediaError(StoreError):
    """A picture, or a file with pictures, cannot be had; the message is one line for people."""


class MissingBackend(MediaError):
    """The addresses of a kind need a package that is not installed."""


class OutsideRoot(Exception):
    """A uri leaves the root of its dataset, or is an address that its dataset does not hold."""
