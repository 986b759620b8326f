"""From a depth image to people with a trained network."""
