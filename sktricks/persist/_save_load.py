"""save and load: store estimators in files that are safe to load."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._replace_file import check_path, check_target
from .._show_versions import installed
from .._warnings import DroppedOnLoadWarning, warn
from ._archive import read_archive, write_archive
from ._codec import Malformed, Reader, Writer, require
from ._estimators import ESTIMATORS
from ._foreign import MEMBERS, refuse_untrusted
from ._foreign_types import check_trusted
from ._given import Given
from ._numpy_names import NUMPY_NAMES
from ._settings import SETTINGS_CODEC
from ._tensors import TENSORS
from ._values import VALUES

CODECS = [*VALUES, *NUMPY_NAMES, *TENSORS, *ESTIMATORS, SETTINGS_CODEC, *MEMBERS]
LIBRARIES = ("sktricks", "numpy", "scikit-learn", "torch", "skorch")


def save(estimator: BaseEstimator, path: str | os.PathLike, *, trusted: Iterable[str | type] | None = None) -> None:
    """Save a fitted estimator to one file, which is safe to load even from an untrusted source.

    Estimators of sktricks are saved as numbers and text, and so are scikit-learn's Pipeline, FeatureUnion, and voting
    and stacking ensembles around them. Other members are saved with skops (``pip install "sktricks[persist]"``):
    scikit-learn estimators whose arrays can be checked on loading, and all others if ``trusted`` has their types.

    Parameters
    ----------
    estimator : estimator
        The fitted estimator.
    path : str or path-like
        The file to write. An existing file is replaced atomically: if saving fails, it stays unchanged. The new file
        has the permissions of the old one. Symbolic links are followed.
    trusted : list of str or type, default=None
        Types of members that you trust, as in skops: full names such as ``"xgboost.sklearn.XGBClassifier"``, or the
        types themselves. scikit-learn estimators do not have to be listed unless an error says so. Pass the same types
        to :func:`load`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If ``path`` is a folder or not a valid file name.
    TypeError
        If the estimator or a member of it cannot be stored; the message names it. A net cannot be stored if a parameter
        that ``fit`` used to build it, such as ``module`` or ``optimizer``, was changed after ``fit``.
    ImportError
        If a member requires skops, which is not installed.

    See Also
    --------
    load : Load an estimator. Describes what is restored.

    Notes
    -----
    Only the fitted attributes of sktricks are saved. If you added another attribute, an error names it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier, load, save
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, Path(folder) / "net.safetensors")
    ...     again = load(Path(folder) / "net.safetensors")
    >>> bool((again.predict_proba(X) == net.predict_proba(X)).all())
    True
    """
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(f"estimator must be an estimator, got {estimator!r} of type {type(estimator).__name__}")
    check_is_fitted(estimator)
    check_target(path)
    writer = Writer(CODECS, check_trusted(trusted))
    manifest = {"versions": {name: installed(name) for name in LIBRARIES}, "estimator": writer.write(estimator, "")}
    refuse_untrusted(writer)
    write_archive(path, manifest, writer.arrays)


def load(
    path: str | os.PathLike,
    *,
    module=None,
    backbone=None,
    callbacks: list | None = None,
    params: Mapping[str, Any] | None = None,
    trusted: Iterable[str | type] | None = None,
) -> BaseEstimator:
    """Load an estimator that was saved by :func:`save`.

    Loading never imports, runs, opens or downloads anything that the file refers to. An archive has no code: pass your
    own module class, factory, loss function or callback again, and likewise a backbone from a folder or from the
    Hugging Face Hub. Its weights are in the archive.

    Parameters
    ----------
    path : str or path-like
        The file written by :func:`save`.
    module : module class, factory or torch.nn.Module, default=None
        The ``module`` of nets that were fitted with your own module.
    backbone : module class, factory, torch.nn.Module or str, default=None
        The ``backbone`` of estimators that were fitted with your own backbone, or with a name that refers to a folder
        or a download, such as ``"hf:user/repository"``. Only its configuration is read; the weights are in the archive.
    callbacks : list, default=None
        The ``callbacks`` of nets that had callbacks other than those of sktricks.
    params : dict, default=None
        Any other parameters, by their names in ``get_params()``, such as ``{"loss": my_loss}`` or, in a Pipeline,
        ``{"net__module": Net}``. They replace those in the archive.
    trusted : list of str or type, default=None
        Types of members that you trust, as in skops. Their contents are not checked: list them only if you trust the
        source of the file. Members of scikit-learn are trusted after their arrays have been checked.

    Returns
    -------
    estimator : BaseEstimator
        The saved estimator, with its parameters and fitted attributes. Its predictions are bit-identical on the same
        kind of device. A net whose device does not exist is loaded to the CPU.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file was not written by :func:`save`, or is truncated, altered, forged, or of another version; if a
        module, backbone, callback or parameter is missing, or does not fit the weights. The message names the file and
        the position in it.
    TypeError
        If ``path`` is not a path, ``params`` not a dict, or ``trusted`` not a list.
    ImportError
        If a member requires skops, which is not installed.

    Warns
    -----
    DroppedOnLoadWarning
        If a parameter was a path: the memory of a Pipeline, the folder of a cache, or a weight file. It is replaced by
        its default, unless it is in ``params``.

    Notes
    -----
    A net also keeps its history, the state of its optimizer and its frozen layers, so ``partial_fit`` and
    ``warm_start`` continue exactly as before saving. The state of your own callbacks is not kept. A search such as
    ``GridSearchCV`` cannot be saved: save its ``best_estimator_``.

    An archive is a safetensors file, so any tool for such files can show the weights. Its checksum detects damage, not
    forgery. A forged archive can make wrong predictions, but it cannot run code, open other files or use the network:
    its content is compared with a fixed description of each class before anything is built. The arrays of
    scikit-learn's estimators are checked before they are used. Only types that you list in ``trusted`` are not checked.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from torch import nn
    >>> from sktricks import NetRegressor, load, save
    >>> X, y = np.eye(8, dtype=np.float32), np.arange(8.0)
    >>> class Wide(nn.Linear):
    ...     def __init__(self, n_features, n_outputs):
    ...         super().__init__(n_features, n_outputs)
    >>> net = NetRegressor(Wide, max_epochs=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(net, Path(folder) / "net.safetensors")
    ...     again = load(Path(folder) / "net.safetensors", module=Wide)
    >>> bool((again.predict(X) == net.predict(X)).all())
    True
    """
    check_path(path)
    if not (params is None or isinstance(params, Mapping)):
        raise TypeError(f"params must be a dict from names of parameters to values, or None, got {params!r:.200}")
    manifest, arrays = read_archive(path)
    roles = {"module": module, "backbone": backbone, "callbacks": callbacks}
    given = Given(params or {}, {name: value for name, value in roles.items() if value is not None})
    reader = Reader(CODECS, arrays, given, check_trusted(trusted))
    with naming_the_file(path, reader):
        node = parse(manifest)
        given.check_missing(node)
        estimator = reader.read(node)
        require(isinstance(estimator, BaseEstimator), "must be an estimator")
        check_is_fitted(estimator)
    given.check_unused()
    warn_of_dropped(path, reader.dropped)
    return estimator


def parse(manifest):
    """Parse a manifest, and return the record of the estimator."""
    manifest = json.loads(manifest)
    fits = type(manifest) is dict and type(manifest.get("estimator")) is dict
    require(fits, "must be in the manifest")
    return manifest["estimator"]


@contextmanager
def naming_the_file(path, reader):
    """Context manager that adds the file and the position in it to errors."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"path={str(path)!r} cannot be loaded: {error}", name=error.name) from error
    except Malformed as error:
        raise ValueError(f"path={str(path)!r} is not a valid archive: {reader.where()} {error}") from error
    except ValueError as error:
        raise ValueError(f"path={str(path)!r} cannot be loaded: {error} (at {reader.where()})") from error
    except Exception as error:  # torch, numpy and the caller's module may raise any exception
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"path={str(path)!r} is not a valid archive: {reader.where()} raised {what}") from error


def warn_of_dropped(path, dropped):
    """Warn of parameters that were replaced because they were paths."""
    if dropped:
        what = ", ".join(f"{name}={value!r:.200}" for name, value in dropped.items())
        names = ", ".join(f"{name!r}: ..." for name in dropped)
        warn(
            f"path={str(path)!r}: paths in an archive are not used, so these parameters were replaced by defaults: "
            f"{what}. Pass params={{{names}}} to load() to use paths",
            DroppedOnLoadWarning,
        )
