"""A small DETR-shaped detector and the generated scenes that it is trained and tested on."""
