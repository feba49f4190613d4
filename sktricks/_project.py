"""The URLs of the project, and documentation links in HTML representations of estimators."""

from __future__ import annotations

HOMEPAGE = "https://github.com/sktricks/sktricks"
DOCS = "https://sktricks.github.io/sktricks"


class LinksToDocs:
    """Link the HTML representation of an estimator to its page in our documentation, by scikit-learn's protocol.

    scikit-learn adds no link to a subclass that is defined outside this package.
    """

    _doc_link_module = "sktricks"
    _doc_link_template = DOCS + "/generated/sktricks.{estimator_name}.html"
