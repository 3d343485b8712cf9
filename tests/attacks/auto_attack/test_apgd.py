import numpy as np

from lipot.attacks.auto_attack.apgd import APGDState, checkpoint

# Of a window of 8 steps: one row whose loss rose often, one whose loss rose in 6 (75%), one that
# gained nothing though its step was kept, and one that gained nothing after its step was halved.
RISES = np.array([7, 6, 8, 8], "int32")
BEST = np.array([2.0, 2.0, 1.0, 1.0], "float32")
CHECKED = np.ones(4, "float32")
HALVED = np.array([False, False, False, True])


def state():
    points, best = np.zeros((4, 3), "float32"), np.ones((4, 3), "float32")
    values = dict.fromkeys(APGDState._fields, points)
    values.update(best_points=best, best_gradient=5.0 * best, rises=RISES, halved=HALVED)
    values.update(loss=np.zeros(4, "float32"), best_loss=BEST, checked_loss=CHECKED)
    values.update(step_size=np.full(4, 0.5, "float32"))
    return APGDState(**values)


def test_step_halves_where_it_does_not_help():
    after = checkpoint(state(), window=8)
    np.testing.assert_array_equal(after.step_size, [0.5, 0.25, 0.25, 0.5])
    np.testing.assert_array_equal(after.halved, [False, True, True, False])


def test_where_it_halves_the_search_goes_back_to_its_best():
    after = checkpoint(state(), window=8)
    np.testing.assert_array_equal(after.points[:, 0], [0, 1, 1, 0])
    np.testing.assert_array_equal(after.gradient[:, 0], [0, 5, 5, 0])
    np.testing.assert_array_equal(after.loss, [0, 2, 1, 0])


def test_the_next_window_starts_counting_anew():
    after = checkpoint(state(), window=8)
    np.testing.assert_array_equal(after.checked_loss, BEST)
    assert not after.rises.any()
