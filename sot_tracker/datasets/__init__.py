"""Readers of annotated sequences and pictures, shared by evaluation, training, `track` and the player."""
