"""Layer-wise relevance propagation over a tape of the operations that an unmodified model carried out."""
