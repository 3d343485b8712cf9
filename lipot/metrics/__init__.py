"""Keras metrics for certified accuracy and certified radius."""
