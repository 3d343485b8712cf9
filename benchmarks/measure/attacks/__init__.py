"""Attacks beside ART's, whole evaluations, and attacks on what was proven."""
