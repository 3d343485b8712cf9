"""The data sets of the examples and benchmarks, ready to train on, by name."""

from lipot.datasets.dataset import Dataset
from lipot.datasets.registry import load, names
