"""`python -m jobs features`: region features and boxes of every picture, from a detector."""
