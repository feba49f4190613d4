"""The addresses of the project: the links of HTML representations."""

import pytest
from sklearn.base import BaseEstimator

import sktricks
from sktricks import NetClassifier
from sktricks._project import DOCS

PUBLIC = {name: getattr(sktricks, name) for name in sktricks.__all__}
ESTIMATORS = sorted(name for name, part in PUBLIC.items() if isinstance(part, type) and issubclass(part, BaseEstimator))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_link_leads_to_the_page_of_the_estimator(name):
    estimator = PUBLIC[name].__new__(PUBLIC[name])
    assert estimator._get_doc_link() == f"{DOCS}/generated/sktricks.{name}.html"


def test_the_html_representation_has_the_link():
    assert f'href="{DOCS}/generated/sktricks.NetClassifier.html"' in NetClassifier()._repr_html_()


def test_a_class_of_a_user_has_no_link():
    class Mine(NetClassifier):
        pass

    assert Mine()._get_doc_link() == ""
