"""The runs behind the tables: planned, trained, tested, stored."""
