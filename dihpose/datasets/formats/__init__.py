"""Formats of data sets: one file each, the contract of their readers, and the registry that tells them apart."""
