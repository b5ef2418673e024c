"""Training: data sets -> cache -> pairs -> losses -> loop. Needs torch; only commands import it."""
