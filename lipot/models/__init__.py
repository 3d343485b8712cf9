"""Keras models, one paper a file, and the papers' architectures."""

from lipot.models.adversarial_model import AdversarialModel
