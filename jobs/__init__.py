"""Command line and batch pipeline: read a dataset, explain every sample, write it into a store."""
