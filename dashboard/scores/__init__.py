"""What the page of CLIP scores is made of: the reference, charts, sentences, and the picture of one pair."""
