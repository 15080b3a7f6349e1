"""Suspects of image-text runs: what a score hangs on that it should not, and pairs that do not belong together."""
