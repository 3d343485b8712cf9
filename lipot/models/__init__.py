"""Keras models, one paper a file, and the papers' architectures."""

from lipot.models.adversarial_model import AdversarialModel
from lipot.models.among_workers import among_workers
from lipot.models.carlini_wagner import carlini_wagner
from lipot.models.cip_net import CIPNet
from lipot.models.codes import intrinsic_dimension, plot_codes
from lipot.models.embedding_networks import (
    embedding_classifier,
    embedding_discriminator,
    embedding_encoder,
)
from lipot.models.interpolation_data import InterpolationData
from lipot.models.layout_map import layout_map
from lipot.models.lipnext import lipnext
from lipot.models.metric_networks import (
    metric_attention,
    metric_cnn,
    metric_resnet,
    metric_transformer,
)
from lipot.models.nearest_mean import NearestMean
from lipot.models.ot_classifier import OTClassifier
from lipot.models.otad import OTAD
from lipot.models.presets import from_preset, preset_card, presets
from lipot.models.prior import StandardNormal
from lipot.models.purified import Purified
from lipot.models.random_self_ensemble import RandomNoise, SelfEnsemble, random_self_ensemble
from lipot.models.resnet import preact_resnet18, resnet18
from lipot.models.straight_through import StraightThrough
from lipot.models.transport_networks import plain_network, transport_resnet
from lipot.models.vision_transformer import TransportTransformer, transport_transformer
from lipot.models.wide_resnet import wide_resnet
