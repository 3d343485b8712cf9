"""Lipschitz constants of whole models and certified radii.

The package is callable: `lipot.certify(model, x, y)` is `lipot.certify.certify(model, x, y)`.
"""

import sys
import types

from lipot.certify import activations, augmentation, blocks, linear, pooling, reshaping
from lipot.certify.augmentation import check_identity_at_inference
from lipot.certify.bounds import LayerBound, register_bound
from lipot.certify.certificate import Certificate, certify
from lipot.certify.graph import lipschitz_constant


class _CallablePackage(types.ModuleType):
    """A module that is called by its main function, so that its name can be a verb."""

    def __call__(self, model, x, y=None, batch_size=256):
        return certify(model, x, y, batch_size)

    __call__.__doc__ = certify.__doc__


sys.modules[__name__].__class__ = _CallablePackage
