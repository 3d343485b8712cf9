"""The linear maps that layers with a kernel stand for: what they do, and proven bounds of it."""

from lipot.math.linear_maps.conv1d import Conv1D
from lipot.math.linear_maps.conv2d import CausalConv2D, ClosedConv2D, Conv2D
from lipot.math.linear_maps.conv2d_transpose import ClosedConv2DTranspose, Conv2DTranspose
from lipot.math.linear_maps.dense import Dense
from lipot.math.linear_maps.images import undilated
from lipot.math.linear_maps.linear_map import LinearMap
from lipot.math.linear_maps.skew_exponential import SkewExponential
