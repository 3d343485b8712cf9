"""Lipschitz constants of whole models and certified radii."""
