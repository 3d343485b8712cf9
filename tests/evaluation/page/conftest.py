import pytest

from lipot.evaluation.record.report import RobustnessReport
from tests.evaluation.page.cases import made


@pytest.fixture(scope="session")
def evaluation():
    return made()


@pytest.fixture(scope="session")
def written(evaluation, tmp_path_factory):
    """The page of one model, as a file."""
    path = tmp_path_factory.mktemp("page") / "deep" / "report.html"
    return RobustnessReport([evaluation]).save_html(path)
