"""The lists of slow tests name tests that are there, and a family keeps every value."""

import itertools
import pathlib

import pytest

from tests.families import FAMILIES, left_to_the_slow_tests
from tests.slow_tests import SLOW

ALL = SLOW + FAMILIES


def test_a_slow_test_is_a_test():
    for name in ALL:
        file, function = name.partition("[")[0].split("::")
        assert f"def {function}(" in (pathlib.Path(__file__).parent / file).read_text(), name
    assert len(set(ALL)) == len(ALL)


@pytest.mark.parametrize("sizes", [(1,), (4,), (2, 5), (3, 3), (2, 3, 4)])
def test_what_a_family_keeps_has_every_value_and_few_cases(sizes):
    every = list(itertools.product(*map(range, sizes)))
    cases = {case: dict(enumerate(case)) for case in every}
    kept = set(every) - set(left_to_the_slow_tests(cases))
    assert len(kept) == max(sizes)
    for place, size in enumerate(sizes):
        found = [case[place] for case in kept]
        assert {found.count(value) for value in range(size)} <= {
            len(kept) // size,
            -(-len(kept) // size),
        }
