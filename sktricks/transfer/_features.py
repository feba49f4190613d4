"""PretrainedFeatures: convert images to the features of a pretrained net, as columns for any estimator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._log import logger
from .._progress import progress
from .._project import LinksToDocs
from .._typing import fit_context
from .._value_range import check_value_range, warn_of_other_scale
from .._warnings import NoPretrainedBackboneWarning, warn
from ..images._resize import RESIZE_MODES
from ._auto_backbone import choose_backbone
from ._path_columns import check_inputs, warn_of_lost_detail
from ._strategies import describe_backbone
from .cache._feature_cache import FeatureCache, resolve_cache
from .cache._sharing import SharesBackbone

if TYPE_CHECKING:
    import torch

ROWS = 1024  # rows to transform at once, to bound the memory


class PretrainedFeatures(LinksToDocs, SharesBackbone, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Convert images to the features of a pretrained net, as columns for any estimator.

    ``fit`` learns only the shape and value range of the images, so nothing leaks across folds.

    Parameters
    ----------
    backbone : str, module class, factory or torch.nn.Module, default="auto"
        The pretrained net, as in :func:`load_backbone`; ``"auto"`` is ``"lite0"`` for photos and ``"tiny32"`` for small
        images, as in :class:`FineTuneClassifier`.
    stages : "auto" or list of str, default="auto"
        Names of the stages of the backbone whose features are returned. ``"auto"`` means the ``default_stages`` of the
        backbone, or its output if there are none.
    image_shape : int or tuple, default=None
        (height, width), (height, width, channels), or the side of a square.

        - Rows: the shape of the image in each row, with one channel if none is given. None means that the rows are a
          table, for which no pretrained net exists; they are returned unchanged, with a
          :class:`NoPretrainedBackboneWarning`.
        - Arrays of images: compared with their shape; without channels, any number of channels is accepted.
        - Image files: the size at which files are read. None means the size of the backbone, in color. The backbone
          still resizes images to its own size, so a smaller value loses detail, with an :class:`ImageSizeWarning`, and
          saves no time.
    resize_mode : {"squash", "crop"}, default="squash"
        How to resize images if their aspect ratio differs from that of the backbone: ``"squash"`` keeps the whole
        image and changes its aspect ratio; ``"crop"`` resizes the shorter side and takes the center.
    value_range : tuple of float, default=None
        The smallest and largest possible value of a pixel. None means (0, 255) for integers; for floats (0, 1) or
        (0, 255) if the pixels lie in this range, otherwise their minimum and maximum.
    cache : "auto", None, path or FeatureCache, default="auto"
        Where features are stored, so that each image is encoded once for all folds and candidates of a search.
        ``fit_transform`` stores all features, ``transform`` only those of small batches. ``"auto"`` is a cache of
        512 MB in memory, shared by all estimators of the process. A path is a folder, which several processes can
        share. With None, each call encodes again. See :class:`FeatureCache`.
    device : str or torch.device, default="auto"
        Where the backbone runs. ``"auto"`` is CUDA or MPS if available, otherwise the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The floating-point type of the computation. ``"auto"`` is float32 on a CPU, so that features do not depend on
        the processor, and bfloat16 for images on an NVIDIA GPU that supports it (compute capability 8.0 or higher).
        ``"bfloat16"`` is faster on a CPU that has instructions for it (AVX-512 BF16, AMX); any other CPU issues a
        :class:`SlowPrecisionWarning`. Features are always float32. bfloat16 keeps two to three decimal digits, which
        reduces the accuracy: a classifier of photos on features of lite0 loses 0.3 to 0.9 points with 50 labels per
        class, nothing with 10.
    white_level : float, default=None
        The pixel value of white in image files with more than 8 bits, as in :class:`ImageLoader`: 1023 for 10 bits,
        4095 for 12 bits. None means 65535. For arrays of images, set ``value_range`` instead.
    verbose : int, default=0
        1 reports the backbone in ``fit``, and in ``fit_transform`` and ``transform`` shows a bar, how many images were
        encoded, and how often their features were reused; 2 prints lines instead of bars.

    Attributes
    ----------
    backbone_ : Backbone or None
        The backbone; None for a table.
    backbone_name_ : str or None
        The name of the backbone, for example that chosen by ``"auto"``; None for a table.
    precision_ : {"float32", "bfloat16"}
        The floating-point type of the computation: bfloat16 by autocast, or the dtype of the backbone's parameters.
        Not set if X is a table.
    n_features_in_ : int
        Height x width x channels of images; 1 for a column of image files.
    feature_names_in_ : ndarray of shape (features,)
        Names of the columns of X; set only if X has names.
    image_shape_ : tuple or None
        (height, width, channels), None for a table.

    See Also
    --------
    FineTuneClassifier : A backbone and a head in one classifier.
    load_backbone : All forms of ``backbone``.

    Notes
    -----
    X may also be one column of image files, as in :class:`FineTuneClassifier`: one feature, whose name is kept, so that
    a :class:`~sklearn.compose.ColumnTransformer` can pass it here from a table with other columns.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sktricks import PretrainedFeatures
    >>> X, y = load_digits(return_X_y=True)
    >>> model = make_pipeline(PretrainedFeatures(image_shape=(8, 8)), StandardScaler(), LogisticRegression())
    >>> bool(model.fit(X[:200], y[:200]).score(X[200:400], y[200:400]) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        "backbone": [str, callable],
        "stages": [StrOptions({"auto"}), list, tuple],
        "image_shape": [Integral, "array-like", None],
        "resize_mode": [StrOptions(set(RESIZE_MODES))],
        "value_range": ["array-like", None],
        "cache": [str, os.PathLike, FeatureCache, None],
        "device": "no_validation",  # torch itself validates devices
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "white_level": [Interval(Real, 0, 2**32, closed="neither"), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        backbone: str | Callable[..., Any] = "auto",
        *,
        stages: str | Sequence[str] = "auto",
        image_shape: int | Sequence[int] | None = None,
        resize_mode: str = "squash",
        value_range: Sequence[float] | None = None,
        cache: str | os.PathLike[str] | FeatureCache | None = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        white_level: float | None = None,
        verbose: int = 0,
    ):
        self.backbone = backbone
        self.stages = stages
        self.image_shape = image_shape
        self.resize_mode = resize_mode
        self.value_range = value_range
        self.cache = cache
        self.device = device
        self.precision = precision
        self.white_level = white_level
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def backbone_(self):
        """The backbone; None if X is a table."""
        from .cache._pool import mark_seen

        return None if self._prefix is None else mark_seen(self._prefix.backbone)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Load the backbone and learn the shape and range of the images.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to train on.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        X, layout = self._check_X(X, reset=True)
        self._prefix, self.backbone_name_, self._n_features_out = None, None, layout.n_features
        if layout.image_shape is None:
            warn(
                "PretrainedFeatures got rows without image_shape, and no pretrained net exists for a table: the rows "
                "are returned unchanged. If they are images, set image_shape=(height, width)",
                NoPretrainedBackboneWarning,
            )
            return self
        self.value_range_ = check_value_range(self.value_range, X)
        self._load(X, layout)
        return self

    def _load(self, X, layout):
        from ..training._built_with import describe_build
        from ..training._inputs import pick_device
        from ..training._precision import choose_precision, fit_precision
        from ..training._randomness import kept_randomness
        from ._prefix import Prefix, check_stages
        from .cache._pool import find_loaded

        self._device = pick_device(self.device, images=True)
        precision = choose_precision(self.precision, self._device, images=True)
        with kept_randomness():
            spec = choose_backbone(self.backbone, *layout.image_shape[:2])
            backbone = find_loaded(spec, layout.image_shape, self._device, self.resize_mode).lend()
        warn_of_lost_detail(X, backbone)
        self.backbone_name_ = backbone.name
        self._prefix = Prefix(check_stages(backbone, self.stages), len(backbone.layers), encodes_once=True)
        self.precision_ = fit_precision(precision, self.precision, backbone.dtype, "backbone")
        self._prefix.attach(backbone, self.value_range_, self._device, self.precision_)
        self._n_features_out, self._built_with = self._prefix.n_features, describe_build(self)
        if self.verbose:
            logger.info(describe_backbone(backbone, layout.image_shape))

    def _check_X(self, X, *, reset):
        return check_inputs(self, X, reset=reset)

    def fit_transform(self, X: ArrayLike, y: None = None) -> np.ndarray:
        """Fit, and encode the images.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to learn from and to transform.
        y : None
            Ignored.

        Returns
        -------
        features : ndarray of shape (n, n_features_out)
            Their dtype is that of X if it is float32 or float64, otherwise that of the backbone.
        """
        return self.fit(X, y)._transform(X, fill=True)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Encode images.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width) or (n, height, width, channels)
            Rows to transform.

        Returns
        -------
        features : ndarray of shape (n, n_features_out)
            Their dtype is that of X if it is float32 or float64, otherwise that of the backbone.
        """
        check_is_fitted(self)
        return self._transform(X, fill=False)

    def _transform(self, X, fill):
        X, _ = self._check_X(X, reset=False)
        if self._prefix is None:
            return X
        warn_of_other_scale(self, X)
        dtype = X.dtype if X.dtype in (np.float32, np.float64) else self._prefix.numpy_dtype
        features = np.empty((len(X), self._n_features_out), dtype)
        step = len(X) if fill else ROWS
        with progress(len(X), "encoding", "image", self.verbose) as done:
            for start in range(0, len(X), step):
                features[start : start + step] = self._encode(X[start : start + step], fill, done)
        cache = resolve_cache(self.cache)
        if self.verbose and cache is not None:
            logger.info(self._prefix.report(cache))
        return features

    def _encode(self, images, fill, progress):
        from ..training._inputs import images_to_tensor

        x = images_to_tensor(images, self.value_range_)
        how = {"fill": fill, "unchanged": fill, "progress": progress}
        return self._prefix.encode(x, resolve_cache(self.cache), **how).numpy()
