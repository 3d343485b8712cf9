"""Measurements of adversarial training with transport losses."""
