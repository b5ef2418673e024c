"""One-pass evaluation: sequences in, raw boxes, scores, tables and plots out."""
