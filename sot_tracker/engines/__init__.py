"""Inference backends: arrays in, arrays out; they know nothing of boxes or images. See `engines/network.py`."""
