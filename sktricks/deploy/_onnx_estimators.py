"""load_onnx: load a file of export_onnx as a scikit-learn estimator, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from .._naming import RenamedMethodsMixin
from .._project import LinksToDocs
from .._validation import check_columns
from ._onnx_model import OnnxModel


def load_onnx(
    path: str | os.PathLike | bytes,
    *,
    n_threads: int | None = None,
    providers: Sequence[Any] | None = None,
    check: bool = True,
) -> OnnxClassifier | OnnxRegressor:
    """Load a file of :func:`export_onnx` as a scikit-learn estimator, without torch.

    Parameters
    ----------
    path : str, path-like or bytes
        The file, or its content.
    n_threads : int, default=None
        Number of threads per prediction. None means ``OMP_NUM_THREADS`` if it is set, as in joblib's workers, otherwise
        one per core.
    providers : list of str, default=None
        Execution providers of onnxruntime, in order of preference. None means the CPU.
    check : bool, default=True
        Verify the checksum, and compare predictions for the rows in the file with the expected outputs: if this
        machine predicts anything else, an error is raised.

    Returns
    -------
    estimator : OnnxClassifier or OnnxRegressor
        Fitted, and ready to predict.

    Raises
    ------
    ValueError
        If the file is damaged, from a newer version, not written by :func:`export_onnx`, or holds a transformer.
    OnnxMismatchError
        If the outputs for the rows in the file differ from those where it was exported.

    See Also
    --------
    OnnxModel : Run a file without scikit-learn; also for transformers.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, export_onnx, load_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=10, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(net, Path(folder) / "iris.onnx", X)
    ...     model = load_onnx(Path(folder) / "iris.onnx")
    >>> model.classes_
    array([0, 1, 2])
    """
    model = OnnxModel(path, n_threads=n_threads, providers=providers, check=check)
    if model.kind == "transformer":
        raise ValueError(
            f"path must be the file of a classifier or regressor, got that of a transformer ({model!r}): use "
            "OnnxModel(path).run(X)['features']"
        )
    return OnnxClassifier(model) if model.kind == "classifier" else OnnxRegressor(model)


class OnnxEstimator(RenamedMethodsMixin, LinksToDocs, BaseEstimator):
    """Base class of estimators from ONNX files; like a FrozenEstimator, ``fit`` and ``clone`` do not change them.

    Parameters
    ----------
    model : OnnxModel
    """

    def __init__(self, model: OnnxModel):
        self.model = model

    def fit(self, X, y=None, **fit_params):
        """Do nothing, since the model is already fitted.

        Parameters
        ----------
        X : object
            Ignored.
        y : object, default=None
            Ignored.
        **fit_params : dict
            Ignored.

        Returns
        -------
        self : estimator
            The estimator, unchanged.
        """
        return self

    def predict(self, X) -> np.ndarray:
        """Return the labels or values that the exported estimator would predict.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Rows like the X that was passed to :func:`export_onnx`.

        Returns
        -------
        y : ndarray of shape (n,) or (n, outputs)
            Predicted labels or values.
        """
        self._check_columns(X)
        return self.model.predict(X)

    @property
    def n_features_in_(self) -> int:
        """The number of columns that the exported estimator was fitted on."""
        return self._read_metadata("n_features")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """The names of the columns that the exported estimator was fitted on."""
        return np.array(self._read_metadata("feature_names"), dtype=object)

    def _read_metadata(self, name):
        """Return an entry of the metadata; raise an AttributeError if it is None."""
        value = getattr(self.model._metadata, name)
        if value is None:
            raise AttributeError(f"the exported {self.model._metadata.estimator} has no {name}")
        return value

    def _check_columns(self, X):
        """Check the number of rows, and the number and names of columns, as scikit-learn does."""
        if hasattr(X, "__len__") and len(X) == 0:
            raise ValueError(
                f"Found array with 0 sample(s) (shape={np.shape(X)}) while a minimum of 1 is required by "
                f"{type(self).__name__}."
            )
        if self.model._metadata.any_order and hasattr(X, "columns"):
            return  # the model selects its columns by name
        if hasattr(X, "shape") and len(X.shape) == 2 and hasattr(self, "n_features_in_"):
            check_columns(self, X, reset=False)

    def __sklearn_clone__(self):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inputs = self.model.inputs
        tags.input_tags.three_d_array = any(len(shape) > 1 for _, _, shape in inputs)
        tags.input_tags.string = any(dtype.kind == "O" for _, dtype, _ in inputs)
        tags.input_tags.allow_nan = any(self.model._metadata.missing.values())
        tags.requires_fit = False
        tags._skip_test = True
        return tags


class OnnxClassifier(ClassifierMixin, OnnxEstimator):
    """A classifier from an ONNX file, as returned by :func:`load_onnx`.

    In Pipelines, votes and searches it behaves like a :class:`~sklearn.frozen.FrozenEstimator`: ``fit`` changes
    nothing, and ``clone`` returns the estimator itself. It can be pickled, and several threads can predict at once.

    Parameters
    ----------
    model : OnnxModel
        The file.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    n_features_in_ : int
        The number of columns.
    feature_names_in_ : ndarray of str
        The names of the columns, if the estimator was fitted on a DataFrame.

    See Also
    --------
    load_onnx : Load a file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, export_onnx, load_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(net, Path(folder) / "net.onnx", X)
    ...     model = load_onnx(Path(folder) / "net.onnx")
    >>> model
    OnnxClassifier(model=<OnnxModel of a NetClassifier: ...>)
    >>> model.predict_proba(X).shape
    (150, 3)
    """

    @property
    def classes_(self) -> np.ndarray:
        """The labels, in the order of the probabilities."""
        return self._read_metadata("classes")

    @available_if(lambda self: "probabilities" in self.model.outputs)
    def predict_proba(self, X) -> np.ndarray:
        """Return the probabilities of the classes.

        Parameters
        ----------
        X : array-like, DataFrame, or column of image files
            Rows like the X that was passed to :func:`export_onnx`.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        self._check_columns(X)
        return self.model.predict_proba(X)


class OnnxRegressor(RegressorMixin, OnnxEstimator):
    """A regressor from an ONNX file, as returned by :func:`load_onnx`.

    ``fit``, ``clone`` and pickling work as in :class:`OnnxClassifier`.

    Parameters
    ----------
    model : OnnxModel
        The file.

    Attributes
    ----------
    n_features_in_, feature_names_in_
        As in :class:`OnnxClassifier`.

    See Also
    --------
    load_onnx : Load a file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_diabetes
    >>> from sktricks import NetRegressor, export_onnx, load_onnx
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = export_onnx(net, Path(folder) / "net.onnx", X)
    ...     model = load_onnx(Path(folder) / "net.onnx")
    >>> model
    OnnxRegressor(model=<OnnxModel of a NetRegressor: ...>)
    >>> model.predict(X).shape
    (442,)
    """
