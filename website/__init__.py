"""The static site. ``python -m website`` builds it; ``python -m website.check`` opens every page in a browser and checks it."""
