"""Small sets of synthetic people in exactly the formats of the recorded ones."""
