"""Singular values of kernels, during and after training."""
