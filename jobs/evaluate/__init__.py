"""Faithfulness of a run: perturbation, segmentation, localisation and sanity checks, as a job."""
