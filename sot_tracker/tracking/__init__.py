"""The online loop: crop, search, decode, and what is remembered of a target between frames."""
