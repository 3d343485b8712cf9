"""Times and memory of training steps, certificates and large data."""
