"""Lipschitz constants of whole models and certified radii."""

from lipot.certificates import classifier, neighbors, stock
from lipot.certificates.certificate import (
    Certificate,
    certify,
    holds_within,
    register_certifier,
)
from lipot.certificates.graph import lipschitz_constant
from lipot.certificates.neighbors import NeighborRadii
from lipot.certificates.stock.augmentation import check_identity_at_inference
from lipot.layers.layer_bounds import register_bound
from lipot.math.rounding import LayerBound
