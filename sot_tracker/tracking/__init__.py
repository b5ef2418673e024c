"""The online loop as pure functions: what follows a target from frame to frame."""
