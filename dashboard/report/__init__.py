"""The report of a run: one HTML file that opens without a network, or Markdown, or a table.

    python -m dashboard.report RUN --store DIR --out FILE

Needs no server: everything is read from the store by the functions that the pages use.
"""
