"""Trainings, and the accuracies that they reach, clean and proven."""
