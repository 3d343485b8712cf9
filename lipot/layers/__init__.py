"""1-Lipschitz and transport layers; each knows its own Lipschitz bound."""

from lipot.layers.frobenius_conv2d import FrobeniusConv2D
from lipot.layers.frobenius_dense import FrobeniusDense
from lipot.layers.spectral_conv2d import SpectralConv2D
from lipot.layers.spectral_conv2d_transpose import SpectralConv2DTranspose
from lipot.layers.spectral_dense import SpectralDense
