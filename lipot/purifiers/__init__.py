"""Models that clean an input before a classifier sees it; see `lipot.models.Purified`."""

from lipot.purifiers.ape_gan import APEGAN
from lipot.purifiers.defense_gan import DefenseGAN
from lipot.purifiers.diffusion_purifier import DiffusionPurifier
from lipot.purifiers.median_filter import MedianFilter
from lipot.purifiers.networks import (
    StepEmbedding,
    code_generator,
    denoising_unet,
    image_autoencoder,
    image_discriminator,
    wasserstein_critic,
)
from lipot.purifiers.purifier import Purifier
from lipot.purifiers.sparse_transform import SparseTransform
