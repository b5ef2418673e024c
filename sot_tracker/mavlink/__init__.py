"""A MAVLink camera that ground stations find, and its tracking commands."""
