"""Screening of training data: a ranked list of examples that look planted, each with its reason. Proves nothing."""
