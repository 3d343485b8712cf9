"""1-Lipschitz and transport layers; each knows its own Lipschitz bound."""

from lipot.layers.centering import BatchCentering, LayerCentering
from lipot.layers.convex_interpolation import ConvexInterpolation
from lipot.layers.frobenius_conv2d import FrobeniusConv2D
from lipot.layers.frobenius_dense import FrobeniusDense
from lipot.layers.groupsort import FullSort, GroupSort, GroupSort2
from lipot.layers.householder import Householder
from lipot.layers.invertible_sampling import InvertibleDownSampling, InvertibleUpSampling
from lipot.layers.linf_distance_dense import LInfDistanceDense
from lipot.layers.lipschitz_residual import LipschitzResidual
from lipot.layers.maxmin import MaxMin
from lipot.layers.orthogonal_conv1d import OrthogonalConv1D
from lipot.layers.orthogonal_conv2d import OrthogonalConv2D
from lipot.layers.orthogonal_conv2d_transpose import OrthogonalConv2DTranspose
from lipot.layers.pad_conv2d import PadConv2D
from lipot.layers.partial_abs import PartialAbs
from lipot.layers.position_embedding import PositionEmbedding
from lipot.layers.prelu import PReLUlip
from lipot.layers.scaled_average_pooling import ScaledAveragePooling2D, ScaledGlobalAveragePooling2D
from lipot.layers.scaled_l2_norm_pooling import ScaledGlobalL2NormPooling2D, ScaledL2NormPooling2D
from lipot.layers.sdp_residual_conv2d import SDPResidualConv2D
from lipot.layers.sdp_residual_dense import SDPResidualDense
from lipot.layers.skew_orthogonal_conv2d import SkewOrthogonalConv2D
from lipot.layers.spatial_shift import SpatialShift2D
from lipot.layers.spectral_conv2d import SpectralConv2D
from lipot.layers.spectral_conv2d_transpose import SpectralConv2DTranspose
from lipot.layers.spectral_dense import SpectralDense
from lipot.layers.tokens import PatchEmbedding, SelfAttention
from lipot.layers.transport_residual import TransportResidual
