"""How fast things are: warm-up, median and quartiles; what is compared is measured in turn in one run."""
