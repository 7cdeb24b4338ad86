"""The part of HDF5 that JLD2 writes, and nothing else of it."""
