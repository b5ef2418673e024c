"""Training: data sets -> cache -> pairs -> losses -> loop. Needs torch; nothing outside this room imports it."""
