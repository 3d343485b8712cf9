"""The list of slow tests names tests that are there."""

import pathlib

import pytest

from tests.slow_tests import SLOW


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_test_is_a_test(name):
    file, function = name.partition("[")[0].split("::")
    assert f"def {function}(" in (pathlib.Path(__file__).parent / file).read_text()
    assert SLOW.count(name) == 1
