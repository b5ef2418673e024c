"""A page in the browser that shows a tracker at work and starts and stops it."""
