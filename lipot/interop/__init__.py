"""Bridges to and from other libraries."""

import importlib

from lipot import extras
from lipot.interop import deel_lip
from lipot.interop.augmentation import without_augmentation
from lipot.interop.exported import Exported, export
from lipot.interop.plain import to_keras


def __getattr__(name):
    # ART takes a while to import and has much to say while it does: only those who use it wait.
    if name == "art":
        with extras.named():
            return importlib.import_module("lipot.interop.art")
    raise AttributeError(f"module 'lipot.interop' has no attribute '{name}'")
