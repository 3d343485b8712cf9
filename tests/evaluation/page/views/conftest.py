import pytest

from tests.evaluation.page.views import cases


@pytest.fixture(scope="session")
def of_images():
    """Every view of a small network on images."""
    return cases.of_images()
