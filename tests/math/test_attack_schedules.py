import pytest

from lipot.math.attack_schedules import apgd_windows, square_share


def test_checkpoints_are_those_of_the_paper():
    # p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06)
    ends = [22, 41, 57, 70, 80, 87, 93, 99, 100]
    assert [sum(apgd_windows(100)[: i + 1]) for i in range(len(ends))] == ends


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000])
def test_windows_add_up(steps):
    windows = apgd_windows(steps)
    assert sum(windows) == steps and min(windows) >= 1
    assert list(windows[:-1]) == sorted(windows[:-1], reverse=True)


def test_square_halves_where_its_authors_do():
    ends = [10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]
    for halvings, end in enumerate(ends):
        assert square_share(end, 10_000) == 0.8 / 2**halvings
        assert square_share(end + 1, 10_000) == 0.8 / 2 ** (halvings + 1)


def test_square_schedule_stretches():
    assert square_share(100, 1000) == square_share(1000, 10_000) == 0.8 / 2**4
    assert square_share(0, 7, first=0.3) == 0.3
