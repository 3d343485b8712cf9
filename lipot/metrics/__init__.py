"""Keras metrics for certified accuracy and certified radius."""

from lipot.metrics.provable_accuracy import (
    BinaryProvableRobustAccuracy,
    CategoricalProvableRobustAccuracy,
)
from lipot.metrics.provable_robustness import (
    BinaryProvableAvgRobustness,
    CategoricalProvableAvgRobustness,
)
