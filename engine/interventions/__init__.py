"""Interventions: change a cue and see what the model's answer does, beside a control of the same size."""
