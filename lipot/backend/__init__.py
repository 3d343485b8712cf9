"""The one door to the frameworks: input gradients, Jacobian products and compiled calls.

Everything else in lipot is written with `keras.ops`. Keras offers no portable derivative with
respect to an input, so this room adds exactly that for TensorFlow, JAX and PyTorch. What each of
them does in a way of its own is a method of its `Engine`.
"""

from lipot.backend.derivatives import (
    batch_jacobian,
    pullback,
    value_and_input_gradient,
    vjp,
)
from lipot.backend.devices import (
    accelerators,
    devices_scope,
    gather_over_replicas,
    has_accelerator,
    replica,
    replicas_take_turns,
    row_shards,
    shards,
    sum_over_replicas,
    worker,
)
from lipot.backend.programs import (
    as_one_kernel,
    at_once,
    can_assign,
    compile,
    compile_over,
    compile_over_batches,
    compile_rowwise,
    compiles_derivatives,
    compiles_loops_well,
    cond,
    few_shapes,
    is_concrete,
    on_host,
    repeat,
    repeat_recomputed,
    repeat_while,
    run_lite,
    traced_for_all_sizes,
    traced_once,
    while_loop,
)
from lipot.backend.tensors import (
    adjustable,
    bits,
    bits_dtype,
    full_precision,
    is_sparse,
    positive_definite,
    sort_pairs,
    sort_pairs_fused,
    variable_bits_dtype,
)
