"""Suspects on the pages: the list, its pictures, and the verdicts people give."""
