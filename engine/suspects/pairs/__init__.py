"""What is wrong with image-text pairs: captions of other pictures, marks that scores hang on, words without support."""
