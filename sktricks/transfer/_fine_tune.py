"""FineTuneClassifier and FineTuneRegressor: a pretrained net on your images."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..training._targets import ClassifierNetMixin, RegressorNetMixin
from ._base_fine_tune import BaseFineTune

if TYPE_CHECKING:
    import torch

    from .._typing import Splitter
    from ..augment import BaseAugmenter
    from .cache._feature_cache import FeatureCache


class FineTuneClassifier(ClassifierNetMixin, BaseFineTune):
    """A pretrained net, fine-tuned to your images.

    Parameters
    ----------
    backbone : str, module class, factory or torch.nn.Module, default="auto"
        As in :func:`load_backbone`: a name such as ``"timm:resnet18"``, or a module of your own, whose instance is
        copied, never changed. A class or factory is called in the first fit and, unless it makes random weights, not in
        the fits of a search after it. It is called again if its code, or a value that it reads, has changed; if a file
        that it reads has changed, pass a new factory. ``"auto"`` is ``"lite0"`` for photos, with a shorter side of at
        least 128 pixels, and ``"tiny32"`` for smaller images; see the notes.
    image_shape : int or tuple, default=None
        (height, width), (height, width, channels), or the side of a square, of images that come as rows. Rows without
        it are a table, for which nothing pretrained exists: the default net of :class:`NetClassifier` is trained, and a
        warning says so. Without channels it means one channel for rows, and any number of channels for images that come
        as such. Of image files, the size that they are decoded to, by default in color and of the backbone's own size;
        see the notes.
    resize_mode : {"squash", "crop"}, default="squash"
        How images of another aspect ratio than the backbone's are resized, and image files than ``image_shape_``:
        ``"squash"`` keeps all of the image and changes its aspect ratio, ``"crop"`` resizes its shorter side and takes
        the center. Neither is better on all photos; a search can compare them.
    value_range : tuple of float, default=None
        The smallest and largest value of a pixel. None: 0 to 255 for integers; for floats 0 to 1 or 0 to 255 if the
        pixels lie in it, else their extremes. Raw pixels go in: resizing, channels and normalisation are the
        backbone's.
    strategy : {"auto", "linear-probe", "fine-tune", "lp-ft", "gradual"}, default="auto"
        What is trained, and when; see the notes.
    freeze_until : int, float, str or None, default=None
        Where freezing ends, exclusive as in ``range``: a number of the backbone's layers in execution order, a fraction
        of them, or the name of the first module that is trained. 0 or None freezes nothing. ``"head"`` freezes the
        whole backbone: any strategy then becomes the linear probe, and ``strategy_`` says so. Any other value that
        conflicts with an explicit strategy is an error. :func:`layer_table` prints the layers. Frozen means
        bit-frozen: parameters, buffers and dropout.
    stages : "auto" or list of str, default="auto"
        The stages of the backbone whose features the head sees.
    augmenter : augmenter, default=None
        Draws anew for each row in each epoch; its deterministic counterpart applies at prediction.
    n_views : int, default=1
        Above 1, and with a wholly frozen backbone, the augmenter does not draw anew, but makes this many views of each
        row, the row as it is among them, which are encoded once; each epoch takes one of them at random. The draws are
        made in ``fit`` and the same for all rows: with an int as ``random_state`` all folds and candidates of a search
        share what is encoded. Without an augmenter there are no views.
    predict_views : int, default=0
        Predictions are the mean over a row as it is and this many views of it: draws of the augmenter, made once in
        ``fit`` and applied to every row alike, so that the prediction for a row depends on that row only. Steps that
        mix rows or swap values between them have no part in it. Without an augmenter there are no views.
    backbone_lr_scale : float, default=1.0
        The learning rate of the backbone as a multiple of the head's.
    layer_decay : float, default=1.0
        What multiplies the learning rate from each stage to the one before it, in (0, 1]; the last stage has it once.
    cache : "auto", None, path or FeatureCache, default="auto"
        Where the features of a frozen backbone are kept, so that each row is encoded once for all epochs, folds and
        candidates of a search. ``"auto"`` is one cache of 512 MB for all estimators in the process, a path a folder,
        which several processes share. None: each ``fit`` encodes anew. See :class:`FeatureCache`. Where
        ``freeze_until`` freezes a part of the backbone, what that part makes of a row is computed once as well, if
        the net can be cut behind it, no augmenter changes the rows and all of it takes half of the cache at most.
    loss : "auto", "cross_entropy", "bce", torch loss class, instance or function, default="auto"
        ``"auto"`` is cross-entropy, and binary cross-entropy where rows have several labels. ``"bce"`` on labels needs
        two classes; their logit is the difference of the outputs.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"} or torch optimizer class, default=None
        None is the strategy's, as for other parameters that may be None below. ``"sgd"`` has momentum 0.9.
    lr : float or "auto", default=None
        The learning rate, the highest of the schedule. ``"auto"`` finds it by a range test in ``fit``, with all that is
        to be trained thawed; see :func:`find_lr`.
    weight_decay : float, default=None
        Of all but biases, norms and whatever else has fewer than two dimensions.
    clip_norm : float, default=None
        The largest norm of the gradient.
    schedule : {"warmup-cosine", "one-cycle", "plateau", "constant"}, default="warmup-cosine"
        Of the learning rate over the updates of one ``fit``; see :class:`NetClassifier`.
    average : {"ema", "swa"} or None, default=None
        The mean of the weights on the way takes the place of the last ones; see :class:`AverageWeights`.
    label_smoothing : float, default=0.0
        The share of the target that is spread over all classes.
    max_epochs : int, default=None
    batch_size : int, default=None
        Rows an update.
    class_weight : dict, "balanced" or None, default=None
        What the rows of a class count, as in scikit-learn.
    early_stopping : bool, default=False
        Hold some rows out, stop when their loss no longer falls, and take the weights back from when it was lowest.
    validation_fraction : float or splitter, default=0.1
        The share of rows that ``early_stopping`` holds out, or a splitter whose first split says which.
    n_iter_no_change : int, default=10
        The number of epochs without a better validation loss after which ``early_stopping`` stops.
    callbacks : list, default=None
        skorch callbacks, or pairs of a name and a callback. They are deep-copied; open log writers are shared. Scoring
        callbacks see labels and values as in y. Those that watch validation rows, such as ``EarlyStopping()``, need
        ``early_stopping=True`` or ``X_val`` and ``y_val``.
    net_params : dict, default=None
        Any other parameter of skorch's net, such as ``optimizer__momentum``.
    device : str or torch.device, default="auto"
        ``"auto"`` is CUDA, then MPS, where there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What the net computes in. ``"auto"`` is float32 on a CPU, so that predictions do not depend on the
        processor, and bfloat16 for images on an NVIDIA GPU that is made for it (compute capability 8.0). ``"bfloat16"``
        is faster on a CPU that has instructions for it (AVX-512 BF16, AMX); on any other, a
        :class:`SlowPrecisionWarning` is issued.
        Weights, loss and sums stay float32 in both, and so does a head on the features of a frozen backbone.
    warm_start : bool, default=False
        Go on from the net of the previous ``fit``.
    verbose : int, default=0
        1 shows a progress bar, the backbone and the strategy in use, and how many rows were encoded and reused so far.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    strategy_ : str
        The strategy that was used; ``"from-scratch"`` for a table.
    backbone_ : Backbone
    backbone_name_ : str or None
        The name of the backbone, which ``"auto"`` chose; None for a table.
    batch_norm_ : {"batch", "running"} or None
        What BatchNorm normalises by where it is trained: the running statistics that it brought, which stay as they
        are, or those of the batch if that has 128 rows or more; in an untrained net 16 or more. None where none is
        trained.
    net_ : skorch.NeuralNet
        The net inside; ``net_.module_`` is the torch module, ``net_.history`` the losses of each epoch.
    lr_ : float
        The learning rate in use.
    n_trainable_parameters_ : int
    classes_ : ndarray of shape (n_classes,)
    precision_ : {"float32", "bfloat16"}
        What the net computes in: bfloat16 by autocast, or the dtype of its parameters.
    n_iter_ : int
        Whole epochs trained.
    n_features_in_ : int
        Height x width x channels of images, and 1 for a column of image files.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X came with names.
    image_shape_ : tuple or None
        (height, width, channels) of the images, None for a table.

    Notes
    -----
    What the strategies train, and what None stands for:

    ============== =============================== ========= ====== ============ ========== ==========
    strategy       trained                         optimizer lr     weight_decay max_epochs batch_size
    ============== =============================== ========= ====== ============ ========== ==========
    "linear-probe" the head                        sgd       below  below        100        128
    "fine-tune"    all from freeze_until on        adamw     1e-3   0.05         15         64
    "lp-ft"        the same, after a linear probe  adamw     1e-3   0.05         15         64
    "gradual"      the same, thawed stage by stage adamw     1e-3   0.05         15         64
    ============== =============================== ========= ====== ============ ========== ==========

    The head sees features whose magnitude is raised to the power 0.75, centered and divided by one number per stage of
    the backbone, so that their variance is 1 on average. A linear probe with SGD follows the number of features and of
    rows (the sum of ``sample_weight`` and ``class_weight``, as in scikit-learn): for classes ``lr`` is 6 / features,
    that of the bias is 6, and ``weight_decay`` is features / (40 x rows), a logistic regression with C=40 if the
    mean squared norm of rows is scaled to 1; for values ``lr`` is 1 / features and ``weight_decay`` is 0. With another
    optimizer, ``lr`` is 1e-3 and ``weight_decay`` is 0. An explicit ``lr`` is also that of the bias, which
    then has no decay.

    ``"lp-ft"`` (Kumar et al. 2022) first trains the head as ``"linear-probe"`` does by default, on features of images
    that are not augmented; the parameters are those of the second phase. ``"gradual"`` (Howard & Ruder 2018) trains the
    head alone at first and thaws the last stage, then the one before it, and so on, over the first half of
    ``max_epochs``. ``backbone_lr_scale`` and ``layer_decay`` (Clark et al. 2020) are for all but ``"linear-probe"``.

    X may also be one column of image files: paths or bytes in a list, an array, a Series or a DataFrame of one column.
    They are read batch by batch as :class:`ImageLoader` reads them, so many photos need little memory; a file that is
    missing or damaged is an error that names it. (height, width) of files are in color, (height, width, 1) is gray.
    Gray files of more than 8 bits whose white is not 65535 need an :class:`ImageLoader` with ``white_level`` before the
    net; a :class:`BitDepthWarning` says so.

    ``backbone="auto"`` is chosen by the size of the images as they are in the arrays, or as ``image_shape`` says; of
    files, without it, by the median of the shorter sides of up to 64 of them. ``"lite0"`` sees photos at 224 x 224.
    Without its weights ``"tiny32"`` sees them at 32 x 32, and a :class:`SmallBackboneWarning` says what to install. No
    net is best everywhere: for unusual images, such as scans, compare both in a search,
    ``{"backbone": ["tiny32", "lite0"]}``.

    ``strategy="auto"`` is ``"linear-probe"`` below 100 labels per class on average and ``"gradual"`` from there on,
    unless ``freeze_until`` or a :class:`FreezeLayers` says what to freeze; an ``"untrained:"`` backbone, which has
    nothing to keep, is trained whole from there on. On a CPU, a net that sees images of more than 64 x 64 pixels, as
    ``"lite0"`` does, stays a linear probe at any number of labels, since training it takes some forty times as long
    (for 600 photos twenty minutes); ``verbose=1`` says so. Where the whole backbone is frozen and nothing is
    augmented, or ``n_views`` fixes the views, each row is encoded once for all epochs and fits that share a ``cache``.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from sktricks import FineTuneClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = train_test_split(X, y, train_size=100, test_size=300, random_state=0)
    >>> net = FineTuneClassifier(image_shape=(8, 8), random_state=0).fit(X, y)
    >>> net.strategy_
    'linear-probe'
    >>> bool(net.score(X_test, y_test) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **BaseFineTune._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        backbone: str | Callable[..., Any] = "auto",
        *,
        image_shape: int | Sequence[int] | None = None,
        resize_mode: str = "squash",
        value_range: Sequence[float] | None = None,
        strategy: str = "auto",
        freeze_until: float | str | None = None,
        stages: str | Sequence[str] = "auto",
        augmenter: BaseAugmenter | None = None,
        n_views: int = 1,
        predict_views: int = 0,
        backbone_lr_scale: float = 1.0,
        layer_decay: float = 1.0,
        cache: str | os.PathLike[str] | FeatureCache | None = "auto",
        loss: str | Callable[..., Any] = "auto",
        optimizer: str | Callable[..., Any] | None = None,
        lr: float | str | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        schedule: str = "warmup-cosine",
        average: str | None = None,
        label_smoothing: float = 0.0,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        class_weight: Mapping[Any, float] | Sequence[Mapping[Any, float]] | str | None = None,
        early_stopping: bool = False,
        validation_fraction: float | Splitter = 0.1,
        n_iter_no_change: int = 10,
        callbacks: Sequence[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.backbone = backbone
        self.image_shape = image_shape
        self.resize_mode = resize_mode
        self.value_range = value_range
        self.strategy = strategy
        self.freeze_until = freeze_until
        self.stages = stages
        self.augmenter = augmenter
        self.n_views = n_views
        self.predict_views = predict_views
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.cache = cache
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.average = average
        self.label_smoothing = label_smoothing
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.net_params = net_params
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state


class FineTuneRegressor(RegressorNetMixin, BaseFineTune):
    """A pretrained net, fine-tuned to predict values from your images.

    Parameters
    ----------
    backbone, image_shape, resize_mode, value_range, strategy, freeze_until, stages, augmenter, n_views, predict_views
        As in :class:`FineTuneClassifier`.
    backbone_lr_scale, layer_decay, cache
        As in :class:`FineTuneClassifier`; ``"auto"`` takes a tenth of the rows for the labels a class.
    loss : "auto", "squared_error", "absolute_error", "huber", torch loss class, instance or function, default="auto"
        ``"auto"`` is the squared error. With a loss by name y is standardised for the training; a loss of your own sees
        y as it is.
    optimizer, lr, weight_decay, clip_norm, schedule, average, max_epochs, batch_size
        As in :class:`FineTuneClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, callbacks, net_params, device, precision
        As in :class:`FineTuneClassifier`.
    warm_start, verbose, random_state
        As in :class:`FineTuneClassifier`.

    Attributes
    ----------
    strategy_ : str
        The strategy that was used; ``"from-scratch"`` for a table.
    backbone_ : Backbone
    backbone_name_ : str or None
        The name of the backbone, which ``"auto"`` chose; None for a table.
    batch_norm_ : {"batch", "running"} or None
        As in :class:`FineTuneClassifier`.
    net_ : skorch.NeuralNet
        The net inside; ``net_.module_`` is the torch module, ``net_.history`` the losses of each epoch.
    lr_ : float
        The learning rate in use.
    n_trainable_parameters_ : int
    precision_ : {"float32", "bfloat16"}
        What the net computes in: bfloat16 by autocast, or the dtype of its parameters.
    n_iter_ : int
        Whole epochs trained.
    n_features_in_ : int
        Height x width x channels of images, and 1 for a column of image files.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X came with names.
    image_shape_ : tuple or None
        (height, width, channels) of the images, None for a table.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktricks import FineTuneRegressor
    >>> X, y = load_digits(return_X_y=True)
    >>> net = FineTuneRegressor(image_shape=(8, 8), random_state=0).fit(X[:200], y[:200])
    >>> bool(net.score(X[200:400], y[200:400]) > 0.5)
    True
    """

    _classifier_name = "FineTuneClassifier"

    def __init__(
        self,
        backbone: str | Callable[..., Any] = "auto",
        *,
        image_shape: int | Sequence[int] | None = None,
        resize_mode: str = "squash",
        value_range: Sequence[float] | None = None,
        strategy: str = "auto",
        freeze_until: float | str | None = None,
        stages: str | Sequence[str] = "auto",
        augmenter: BaseAugmenter | None = None,
        n_views: int = 1,
        predict_views: int = 0,
        backbone_lr_scale: float = 1.0,
        layer_decay: float = 1.0,
        cache: str | os.PathLike[str] | FeatureCache | None = "auto",
        loss: str | Callable[..., Any] = "auto",
        optimizer: str | Callable[..., Any] | None = None,
        lr: float | str | None = None,
        weight_decay: float | None = None,
        clip_norm: float | None = None,
        schedule: str = "warmup-cosine",
        average: str | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        early_stopping: bool = False,
        validation_fraction: float | Splitter = 0.1,
        n_iter_no_change: int = 10,
        callbacks: Sequence[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        device: str | torch.device = "auto",
        precision: str = "auto",
        warm_start: bool = False,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.backbone = backbone
        self.image_shape = image_shape
        self.resize_mode = resize_mode
        self.value_range = value_range
        self.strategy = strategy
        self.freeze_until = freeze_until
        self.stages = stages
        self.augmenter = augmenter
        self.n_views = n_views
        self.predict_views = predict_views
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.cache = cache
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.average = average
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.net_params = net_params
        self.device = device
        self.precision = precision
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
