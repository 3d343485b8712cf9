"""Measurements of OTAD: the solver against a general one, and the paper's tables."""
