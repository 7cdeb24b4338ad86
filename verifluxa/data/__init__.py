"""Data files to immutable data sets."""
