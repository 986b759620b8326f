"""The static site: ``python -m website`` builds it, ``python -m website.check`` looks at every page in a browser."""
