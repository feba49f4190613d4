"""FineTuneClassifier and FineTuneRegressor: fine-tune a pretrained net on your images."""

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
    """A classifier of images that fine-tunes a pretrained net.

    Parameters
    ----------
    backbone : str, module class, factory or torch.nn.Module, default="auto"
        The pretrained net, as in :func:`load_backbone`: a name such as ``"timm:resnet18"``, or your own module. An
        instance is copied, never changed. A class or factory is called in the first fit; later fits of a search reuse
        the module, unless its weights are random. ``"auto"`` is ``"lite0"`` for photos (shorter side of at least
        128 pixels) and ``"tiny32"`` for smaller images; see the notes.
    image_shape : int or tuple, default=None
        (height, width), (height, width, channels), or the side of a square.

        - Rows: the shape of the image in each row, with one channel if none is given. None means that the rows are a
          table, for which no pretrained net exists; the default net of :class:`NetClassifier` is trained instead, with
          a :class:`NoPretrainedBackboneWarning`.
        - Arrays of images: compared with their shape; without channels, any number of channels is accepted.
        - Image files: the size at which files are read. None means the size of the backbone, in color. The backbone
          still resizes images to its own size, so a smaller value loses detail and saves no time. To run a backbone at
          another size, pass ``backbone=load_backbone("lite0", image_shape=128)``.
    resize_mode : {"squash", "crop"}, default="squash"
        How to resize images if their aspect ratio differs from that of the backbone, or files if theirs differs from
        that of ``image_shape_``. ``"squash"`` keeps the whole image and changes its aspect ratio; ``"crop"`` resizes
        the shorter side and takes the center. Neither is better for all photos; a search can compare them.
    value_range : tuple of float, default=None
        The smallest and largest possible value of a pixel. None means (0, 255) for integers; for floats (0, 1) or
        (0, 255) if the pixels lie in this range, otherwise their minimum and maximum. Pass raw pixels: the backbone
        resizes and normalizes them.
    strategy : {"auto", "linear-probe", "fine-tune", "lp-ft", "gradual"}, default="auto"
        Which layers are trained, and when; see the notes.
    freeze_until : int, float, str or None, default=None
        Where freezing ends, exclusive as in ``range``: a number of layers in execution order, a fraction of the layers,
        or the name of the first module that is trained. 0 or None freezes nothing. ``"head"`` freezes the whole
        backbone, so that any strategy becomes ``"linear-probe"`` in ``strategy_``. Any other value that conflicts with
        an explicit strategy raises an error. A layer is a module with parameters or buffers of its own;
        :func:`layer_table` lists them. Parameters, buffers and dropout of frozen layers stay unchanged to the last bit.
    stages : "auto" or list of str, default="auto"
        Names of the stages of the backbone whose features the head receives. ``"auto"`` means the ``default_stages`` of
        the backbone, or its output if there are none; for lite0, its last stage and its output.
    augmenter : augmenter, default=None
        Draws a new augmentation of each row in each epoch; at prediction time, its deterministic counterpart is
        applied.
    n_views : int, default=1
        Number of fixed views per row in training, for a completely frozen backbone. With 1, the augmenter draws again
        in each epoch, so the backbone encodes every row in every epoch. Above 1, the row itself and ``n_views - 1``
        augmented copies are encoded once, and each epoch uses one of them at random. The draws are made in ``fit`` and
        are the same for all rows; with an int as ``random_state``, all folds and candidates of a search share the
        encoded features. Without an augmenter, the value is ignored, with a :class:`ViewsIgnoredWarning`.
    predict_views : int, default=0
        Number of augmented views per row at prediction time. Predictions are the mean over the row itself and its
        views. The draws are made once in ``fit`` and applied to all rows alike, so that the prediction for a row
        depends only on that row. Mixing steps (MixUp, CutMix, SwapNoise) are skipped. Without an augmenter, or with one
        that only mixes rows, the value is ignored, with a :class:`ViewsIgnoredWarning`.
    backbone_lr_scale : float, default=1.0
        Learning rate of the backbone, as a multiple of ``lr``, the learning rate of the head.
    layer_decay : float, default=1.0
        Factor of the learning rate per stage, in (0, 1], counted from the end: stage k of n is trained at ``lr *
        backbone_lr_scale * layer_decay ** (n - k + 1)`` (Clark et al. 2020).
    cache : "auto", None, path or FeatureCache, default="auto"
        Where the features of a frozen backbone are stored, so that each row is encoded once for all epochs, folds and
        candidates of a search. ``"auto"`` is a cache of 512 MB in memory, shared by all estimators of the process. A
        path is a folder, which several processes can share. With None, each ``fit`` encodes again. See
        :class:`FeatureCache`. If ``freeze_until`` freezes a part of the backbone, the output of that part is cached as
        well, provided that the net can be split there, no augmenter is set, and the values take at most half of the
        cache.
    loss : "auto", "cross_entropy", "bce", torch loss class, instance or function, default="auto"
        ``"auto"`` is cross-entropy, or binary cross-entropy for multilabel targets. ``"bce"`` on labels requires two
        classes; their logit is the difference of the outputs. An instance is copied.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"} or torch optimizer class, default=None
        None means the default of the strategy; see the notes. ``"sgd"`` has momentum 0.9.
    lr : float or "auto", default=None
        Peak learning rate of the schedule. None means the default of the strategy; see the notes. ``"auto"`` finds it
        by a range test in ``fit``, in which all layers are thawed from the start; see :func:`find_lr`.
    weight_decay : float, default=None
        Weight decay for linear, convolution and embedding weights. Parameters with fewer than two dimensions, such as
        biases and those of normalization layers, do not decay. None means the default of the strategy; see the notes.
    clip_norm : float, default=None
        Clip gradients to this norm. None disables clipping.
    schedule : {"warmup-cosine", "one-cycle", "plateau", "constant"}, default="warmup-cosine"
        Learning rate over the steps of one ``fit``, as in :class:`NetClassifier`.
    average : {"ema", "swa"} or None, default=None
        Replace the final weights by an average over the training: an exponential moving average over the steps, or the
        mean over the ends of the epochs in the last quarter; see :class:`AverageWeights`.
    label_smoothing : float, default=0.0
        Fraction of the target that is spread evenly over all classes (Szegedy et al. 2016).
    max_epochs : int, default=None
        Number of passes over the rows. None means the default of the strategy; see the notes.
    batch_size : int, default=None
        Samples per optimizer step. None means the default of the strategy; see the notes.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss, as in scikit-learn. None means that all classes have weight 1.
    early_stopping : bool, default=False
        Hold out some rows, stop when their loss no longer falls, and restore the weights of the lowest loss.
    validation_fraction : float or splitter, default=0.1
        Fraction of the rows that ``early_stopping`` holds out, or a splitter whose first split is used.
    n_iter_no_change : int, default=10
        Number of epochs without a lower validation loss after which ``early_stopping`` stops.
    callbacks : list, default=None
        Callbacks of skorch, or pairs of a name and a callback. They are deep-copied; open log writers are shared.
        Scoring callbacks see labels and values as in y. Those that watch validation rows, such as ``EarlyStopping()``,
        need ``early_stopping=True`` or ``X_val`` and ``y_val``.
    net_params : dict, default=None
        Other parameters of skorch's net, such as ``optimizer__momentum``. A search can set its keys like parameters.
    device : str or torch.device, default="auto"
        Where the net is trained. ``"auto"`` is CUDA or MPS if available, otherwise the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The floating-point type of the computation. ``"auto"`` is float32 on a CPU, so that predictions do not depend on
        the processor, and bfloat16 for images on an NVIDIA GPU that supports it (compute capability 8.0 or higher).
        ``"bfloat16"`` is faster on a CPU that has instructions for it (AVX-512 BF16, AMX); any other CPU issues a
        :class:`SlowPrecisionWarning`. Weights, loss and sums are always float32, and so is a head on the features of a
        frozen backbone. bfloat16 keeps two to three decimal digits, which reduces the accuracy: for lite0 on photos by
        0.3 to 0.9 points with 50 labels per class, by nothing with 10.
    warm_start : bool, default=False
        Continue with the net of the previous ``fit``. Changes of parameters that apply only to a new net, such as
        ``optimizer`` and ``loss``, are then ignored, as in ``partial_fit``, with a :class:`ParametersIgnoredWarning`.
    verbose : int, default=0
        0: silent. 1: bars of encoded images and of epochs; reports of the backbone and the strategy, and of how many
        rows were encoded and reused so far. 2: lines in the log instead of bars.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, shuffling, augmentation and held-out rows. Pass an int for reproducible results.

    Attributes
    ----------
    strategy_ : str
        The strategy used; ``"from-scratch"`` for a table.
    backbone_ : Backbone or None
        The backbone, fine-tuned unless it is frozen; None for a table.
    backbone_name_ : str or None
        The name of the backbone, for example that chosen by ``"auto"``; None for a table.
    batch_norm_ : {"batch", "running"} or None
        The statistics by which trainable BatchNorm layers normalize. ``"running"`` are the running statistics of the
        pretrained net, which stay fixed; ``"batch"`` are those of each batch, used if it has at least 128 rows (16 in
        an untrained net). None if no BatchNorm layer is trainable.
    net_ : skorch.NeuralNet
        The fitted net; ``net_.module_`` is the torch module, ``net_.history`` contains the losses of each epoch.
    lr_ : float
        Peak learning rate used.
    n_trainable_parameters_ : int
        Number of trainable parameters of the net.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels; for multilabel targets, the indices of the columns of y.
    precision_ : {"float32", "bfloat16"}
        The floating-point type of the computation: bfloat16 by autocast, or the dtype of the net's parameters.
    n_iter_ : int
        Number of completed epochs.
    n_features_in_ : int
        Height x width x channels of images; 1 for a column of image files.
    feature_names_in_ : ndarray of shape (features,)
        Names of the columns of X; set only if X has names.
    image_shape_ : tuple or None
        (height, width, channels) of the images; None for a table.

    See Also
    --------
    PretrainedFeatures : The features of a backbone as columns, for any estimator.
    NetClassifier : A net that is not pretrained.
    load_backbone : All forms of ``backbone``.

    Notes
    -----
    **Strategies.** Each strategy trains the following layers, with these values for parameters that are None:

    ============== =============================== ========= ====== ============ ========== ==========
    strategy       trained                         optimizer lr     weight_decay max_epochs batch_size
    ============== =============================== ========= ====== ============ ========== ==========
    "linear-probe" the head                        sgd       below  below        100        128
    "fine-tune"    all from freeze_until on        adamw     1e-3   0.05         15         64
    "lp-ft"        the same, after a linear probe  adamw     1e-3   0.05         15         64
    "gradual"      the same, thawed stage by stage adamw     1e-3   0.05         15         64
    ============== =============================== ========= ====== ============ ========== ==========

    ``"lp-ft"`` (Kumar et al. 2022) first trains the head like ``"linear-probe"``, with its default settings and without
    augmentation; the parameters apply to the second phase. ``"gradual"`` (Howard & Ruder 2018) first trains only the
    head, then thaws the last stage, the one before it, and so on, over the first half of ``max_epochs``.
    ``backbone_lr_scale`` and ``layer_decay`` apply to all strategies except ``"linear-probe"``.

    ``"auto"`` is ``"linear-probe"`` below 100 labels per class on average, otherwise ``"gradual"``. On a CPU, it is
    ``"linear-probe"`` for any number of labels if the backbone takes images of more than 64 x 64 pixels, like
    ``"lite0"``, since training it takes about forty times as long (twenty minutes for 600 photos). ``verbose=1``
    reports this, and ``strategy="gradual"`` trains it nevertheless. There are two exceptions. With a
    :class:`FreezeLayers` callback or an ``"untrained:"`` backbone, ``"auto"`` is ``"fine-tune"`` from 100 labels per
    class on, on any device. If ``freeze_until`` is set, it is ``"fine-tune"``, or ``"linear-probe"`` if the whole
    backbone is frozen.

    **The head.** Features are raised to the power 0.75 (by magnitude, keeping their sign), centered, and divided by one
    number per stage of the backbone, so that their mean variance is 1; a linear layer follows. For a linear probe with
    SGD, the default rates depend on the number of features and of rows (the sum of ``sample_weight`` times
    ``class_weight``, as in scikit-learn). ``lr`` is 6 / features, and 6 for the bias. ``weight_decay`` is
    features / (40 x rows): the L2 penalty of ``LogisticRegression(C=40)`` on features that are divided by the square
    root of their number, so that rows have a mean squared norm of 1. A regressor has ``lr`` 1 / features and
    ``weight_decay`` 0. With another optimizer, ``lr`` is 1e-3 and ``weight_decay`` is 0. An explicit ``lr`` is used for
    the bias as well, which then does not decay.

    **Image files.** X may be one column of image files: paths or bytes in a list, an array, a Series or a DataFrame
    with one column. They are read batch by batch, as in :class:`ImageLoader`, so that many photos take little memory;
    errors name a missing or damaged file. Files are read in color, or in gray if ``image_shape`` is (height, width, 1).
    Gray files with more than 8 bits whose white is not 65535 require an :class:`ImageLoader` with ``white_level``
    before the net; otherwise, a :class:`BitDepthWarning` is issued. An :class:`ImageSizeWarning` is issued if
    ``image_shape`` reads large files at a size smaller than that of the backbone.

    **backbone="auto"** depends on the size of the images in an array, or on ``image_shape``; for files without
    ``image_shape``, on the median of the shorter sides of up to 64 files. ``"lite0"`` resizes photos to 224 x 224. If
    its weights are not installed, ``"tiny32"`` resizes them to 32 x 32, and a :class:`SmallBackboneWarning` names the
    package to install. No net is best for all images: for unusual images, such as scans, compare both in a search,
    ``{"backbone": ["tiny32", "lite0"]}``.

    **Caching of features.** If the whole backbone is frozen, and there is no augmenter or ``n_views`` fixes the views,
    each row is encoded once for all epochs and for all fits that share a ``cache``.

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
    """A regressor on images that fine-tunes a pretrained net.

    Parameters
    ----------
    backbone, image_shape, resize_mode, value_range, strategy, freeze_until, stages, augmenter : optional
        As in :class:`FineTuneClassifier`. ``strategy="auto"`` takes a tenth of the rows as the labels per class.
    n_views, predict_views, backbone_lr_scale, layer_decay, cache : optional
        As in :class:`FineTuneClassifier`.
    loss : "auto", "squared_error", "absolute_error", "huber", torch loss class, instance or function, default="auto"
        ``"auto"`` is the squared error. With a named loss, y is standardized for the training; your own loss receives y
        unchanged.
    optimizer, lr, weight_decay, clip_norm, schedule, average, max_epochs, batch_size : optional
        As in :class:`FineTuneClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, callbacks, net_params, device, precision : optional
        As in :class:`FineTuneClassifier`.
    warm_start, verbose, random_state : optional
        As in :class:`FineTuneClassifier`.

    Attributes
    ----------
    strategy_ : str
        The strategy used; ``"from-scratch"`` for a table.
    backbone_ : Backbone or None
        The backbone, fine-tuned unless it is frozen; None for a table.
    backbone_name_ : str or None
        The name of the backbone, for example that chosen by ``"auto"``; None for a table.
    batch_norm_ : {"batch", "running"} or None
        As in :class:`FineTuneClassifier`.
    net_ : skorch.NeuralNet
        The fitted net; ``net_.module_`` is the torch module, ``net_.history`` contains the losses of each epoch.
    lr_ : float
        Peak learning rate used.
    n_trainable_parameters_ : int
        Number of trainable parameters of the net.
    precision_ : {"float32", "bfloat16"}
        The floating-point type of the computation: bfloat16 by autocast, or the dtype of the net's parameters.
    n_iter_ : int
        Number of completed epochs.
    n_features_in_ : int
        Height x width x channels of images; 1 for a column of image files.
    feature_names_in_ : ndarray of shape (features,)
        Names of the columns of X; set only if X has names.
    image_shape_ : tuple or None
        (height, width, channels) of the images; None for a table.

    See Also
    --------
    FineTuneClassifier : The same for classes, with the description of all parameters.
    PretrainedFeatures : The features of a backbone as columns, for any estimator.

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
