"""Tests of a product of parameters: the cases of the default run, which hold every value of each.

What a product shows beyond its values is how two of them act together. For the families below that
is left to the slow tests, since their cases differ in what they compute but little in what could
break; the default run keeps enough of them that each value of each parameter is in one.
"""

import collections

FAMILIES = (
    "attacks/auto_attack/test_auto_attack.py::test_a_linear_model_falls_exactly_where_the_closed_form_says",
    "attacks/auto_attack/test_auto_attack.py::test_what_it_reports_is_true",
    "attacks/test_attacks.py::test_result_stays_in_the_ball_and_in_the_data_range",
    "certificates/test_blocks.py::test_errors_stay_within_what_is_allowed",
    "certificates/test_linf.py::test_error_bound_is_above_the_error_of_float32",
    "certificates/test_rounding.py::test_error_bound_is_above_the_error_of_float32",
    "interop/test_deel_lip.py::test_the_network_answers_as_it_did_in_deel_lip",
    "layers/test_float_types.py::test_a_layer_starts_in_every_float_type",
    "layers/test_orthogonal_convolutions.py::test_transposed_zero_padding_never_exceeds_one",
    "layers/test_orthogonal_convolutions.py::test_zero_padding_never_exceeds_one",
    "layers/test_overrides.py::test_what_is_free_to_override_changes_no_bound",
    "layers/test_scaled_average_pooling.py::test_no_attack_beats_the_bound",
    "layers/test_scaled_l2_norm_pooling.py::test_no_attack_beats_the_bound",
    "layers/test_scaled_l2_norm_pooling.py::test_training_computes_what_inference_does",
    "layers/test_sdp_residual.py::test_no_jacobian_has_a_singular_value_above_one",
    "layers/test_spectral_layers.py::test_frobenius_convolution_norm",
    "layers/test_spectral_layers.py::test_small_images_that_padding_copies_on_both_sides",
    "layers/test_spectral_layers.py::test_the_exact_kernel_is_the_polar_factor_of_any_weights",
    "layers/test_spectral_layers.py::test_unknown_image_size_is_bounded_for_every_size",
    "losses/test_extremes.py::test_the_type_of_the_labels_changes_nothing",
    "losses/test_half_precision.py::test_a_loss_is_that_of_float32_rounded_once",
    "losses/test_masks.py::test_a_mask_is_a_factor_of_the_sample_weights",
    "losses/test_paired_losses.py::test_degenerate_batches_give_finite_values_and_gradients",
    "math/test_block_norms.py::test_random_blocks_of_every_shape",
    "math/test_block_orthogonal.py::test_kernel_is_orthogonal_on_every_circle",
    "math/test_convolution.py::test_bounds_of_extreme_kernels",
    "math/test_convolution.py::test_gram_bound_is_above_the_norm_and_tight",
    "math/test_frequency_grids.py::test_the_factor_is_never_crossed",
    "math/test_frequency_search.py::test_estimates_are_no_part_of_the_proof",
    "math/test_frequency_search.py::test_the_bound_is_at_the_supremum",
    "math/test_interpolation.py::test_evaluation_agrees_with_clarabel",
    "math/test_orthogonal.py::test_retraction_never_exceeds_one_and_comes_back",
    "math/test_simplex.py::test_no_better_point_exists",
    "math/test_stiefel.py::test_no_optimizer_lets_a_convolution_collapse",
    "math/test_stiefel.py::test_no_optimizer_lets_a_dense_kernel_collapse",
    "models/test_collapse.py::test_weights_of_samples_neither_hide_a_collapse_nor_feign_one",
)


def left_to_the_slow_tests(cases):
    """The cases of a family without which each value of each parameter still has a case.

    Args:
        cases: A dict from each case to its parameters, themselves a dict from name to value.

    Returns:
        A list of keys of `cases`. Of the others each in turn brings as many new values as it can,
        and beside them the values that came least often.
    """
    left = {case: {(k, repr(v)) for k, v in values.items()} for case, values in cases.items()}
    times = collections.Counter()

    def preference(case):
        before = [times[value] for value in left[case]]
        return before.count(0), -sum(before)

    while left:
        case = max(left, key=preference)
        if all(times[value] for value in left[case]):
            break
        times.update(left.pop(case))
    return list(left)
