"""`python -m jobs suspects RUN`: find the cues that a model's predictions go with, test them, and rank them."""
