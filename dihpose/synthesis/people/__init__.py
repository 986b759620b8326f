"""People: bodies, motions, motion capture and clothes."""
