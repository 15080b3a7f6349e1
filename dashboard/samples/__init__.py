"""What the Samples, Sample and Overview pages are made of."""
