"""People: bodies, clothes, motions, motion capture."""
