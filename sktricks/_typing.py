"""Types shared by public signatures, and scikit-learn's ``_fit_context`` with type annotations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sklearn.base import _fit_context

Method = TypeVar("Method", bound=Callable[..., Any])


class Splitter(Protocol):
    """A cross-validation splitter."""

    def split(self, *args: Any, **kwargs: Any) -> Any:
        """Yield pairs of training and test indices."""


def fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Method], Method]:
    """Validate an estimator's parameters before a method runs; type checkers see the method's own signature."""
    return _fit_context(prefer_skip_nested_validation=prefer_skip_nested_validation)
