"""gloro 1.1.1, run by the Python of an environment of its own."""
