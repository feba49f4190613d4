"""save and load: estimators in files that are safe to read."""

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
    """Save a fitted estimator to one file, which is safe to load whoever wrote it.

    Estimators of sktricks are saved as numbers and text, and so are scikit-learn's Pipeline, FeatureUnion, votes and
    stacks around them. Other members are saved through skops (``pip install "sktricks[persist]"``): those of
    scikit-learn whose arrays can be checked when they are loaded, and all others if ``trusted`` names their types.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    path : str or path-like
        An existing file is replaced in one step: a save that fails leaves it as it was. The new file keeps its
        permissions. A symbolic link is followed.
    trusted : list of str or type, default=None
        Types of members that you trust, as in skops: full names such as ``"xgboost.sklearn.XGBClassifier"``, or the
        types themselves. scikit-learn's own estimators need not be named, unless their error says so. Pass the same
        types to :func:`load`.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If ``path`` is a folder or no valid name of a file.
    TypeError
        If it, or a member of it, cannot be stored; the message names it. A net cannot be stored after a parameter from
        which ``fit`` built it, such as ``module`` or ``optimizer``, has been set to another value.
    ImportError
        If a member needs skops, which is not installed.

    See Also
    --------
    load : Load an estimator; says what is restored and what is not.

    Notes
    -----
    Only fitted attributes that sktricks knows are saved. An attribute that you added yourself raises an error that
    names it.

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
        raise TypeError(f"save takes an estimator, got {estimator!r} of type {type(estimator).__name__}")
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
    """Load an estimator that :func:`save` saved.

    Nothing that the file names is imported, run, opened or downloaded. An archive holds no code: pass a module class, a
    factory, a loss function or a callback of your own again, and a backbone from a folder or from Hugging Face's hub.
    The weights come from the archive.

    Parameters
    ----------
    path : str or path-like
        The file that :func:`save` wrote.
    module : module class, factory or torch.nn.Module, default=None
        The ``module`` of nets that were fitted with one of yours.
    backbone : module class, factory, torch.nn.Module or str, default=None
        The ``backbone`` of estimators that were fitted with one of yours, or with a name that needs a folder or a
        download, such as ``"hf:user/repository"``. Only its configuration is read: its weights are in the archive.
    callbacks : list, default=None
        The ``callbacks`` of nets that had any besides those of sktricks.
    params : dict, default=None
        Any other parameters, by their names in ``get_params()``, such as ``{"loss": my_loss}`` or, in a Pipeline,
        ``{"net__module": Net}``. They replace those in the archive.
    trusted : list of str or type, default=None
        Types of members that you trust, as in skops. Their contents are not checked: name them only if you know where
        the file comes from. Members of scikit-learn are trusted after their arrays have been checked.

    Returns
    -------
    estimator : BaseEstimator
        The estimator as it was saved: parameters, fitted attributes, and bit-identical predictions on the same kind of
        device. A net whose device does not exist is loaded to the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If :func:`save` did not write the file, or it is truncated, altered, forged, or of another version; if a module,
        backbone, callback or parameter is missing, or does not fit the weights. The message names the file and the
        place in it.
    TypeError
        If ``path`` is no path, ``params`` no dict, or ``trusted`` no list.
    ImportError
        If a member needs skops, which is not installed.

    Warns
    -----
    DroppedOnLoadWarning
        If a parameter named a path: the memory of a Pipeline, the folder of a cache, a file of weights. A default
        replaces it, unless ``params`` holds it.

    Notes
    -----
    A net also keeps its history, the state of its optimizer and its frozen layers, so that ``partial_fit`` and
    ``warm_start`` continue as they would have. The state of your own callbacks is not kept. A search such as
    ``GridSearchCV`` is not saved: save its ``best_estimator_``.

    An archive is a safetensors file, so any tool for such files shows the weights. Its checksum detects damage, not
    forgery. A forged archive can make wrong predictions, but it cannot run code, open other files or use the network:
    it is compared with a closed description of each class before anything is built. The arrays of scikit-learn's
    estimators are checked before they are used. Only types that you name in ``trusted`` are not.

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
    """Return the record of the estimator in a manifest."""
    manifest = json.loads(manifest)
    fits = type(manifest) is dict and type(manifest.get("estimator")) is dict
    require(fits, "must be in the manifest")
    return manifest["estimator"]


@contextmanager
def naming_the_file(path, reader):
    """Raise errors that name the file and the place in it."""
    try:
        yield
    except ImportError as error:
        raise ImportError(f"path={str(path)!r} cannot be loaded: {error}", name=error.name) from error
    except Malformed as error:
        raise ValueError(f"path={str(path)!r} is not a valid archive: {reader.where()} {error}") from error
    except ValueError as error:
        raise ValueError(f"path={str(path)!r} cannot be loaded: {error} (at {reader.where()})") from error
    except Exception as error:  # torch, numpy and a module of the caller's raise whatever they like
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"path={str(path)!r} is not a valid archive: {reader.where()} raised {what}") from error


def warn_of_dropped(path, dropped):
    """Warn of parameters that were replaced because they named a path."""
    if dropped:
        what = ", ".join(f"{name}={value!r:.200}" for name, value in dropped.items())
        names = ", ".join(f"{name!r}: ..." for name in dropped)
        warn(
            f"path={str(path)!r}: paths that an archive names are not used, and these parameters were replaced by "
            f"defaults: {what}. Give params={{{names}}} to load() to use such paths",
            DroppedOnLoadWarning,
        )
