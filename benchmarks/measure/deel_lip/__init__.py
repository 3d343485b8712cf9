"""deel-lip 1.5.0, run by the Python of an environment of its own."""
