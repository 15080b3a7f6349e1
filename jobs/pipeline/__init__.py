"""The three stages of a run: load (worker processes), explain (main process), write (one thread)."""
