"""The runs behind the tables: which there are, training and testing them, reading their results."""
