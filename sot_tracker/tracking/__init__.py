"""The online loop: pure functions on the state of a target (`step.py`), and the classes around them (`session.py`)."""
