"""Keras models, one paper a file, and the papers' architectures."""
