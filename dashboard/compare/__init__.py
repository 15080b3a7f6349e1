"""Two runs side by side: what is asked of the store, charts, and one tile per sample."""
