"""What the page of words is made of: the cached table, its choices, and texts with a word marked."""
