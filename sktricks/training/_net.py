"""NetClassifier and NetRegressor: torch modules as scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils._param_validation import Interval, StrOptions

from ..tables._columns import learn_columns
from ..tables._frames import check_table
from ._base_net import BaseNet
from ._batch_size import auto_batch_size, resolve_batches
from ._targets import ClassifierNetMixin, RegressorNetMixin

if TYPE_CHECKING:
    import torch

    from .._typing import Splitter
    from ..augment import BaseAugmenter


class TableOrImageNet(BaseNet):
    """Base class of estimators that train the whole module, the user's or the default one."""

    _parameter_constraints: dict = {
        **BaseNet._parameter_constraints,
        "module": [str, callable],
        "init": [StrOptions({"default", "he", "xavier"})],
        "categorical_features": ["array-like", StrOptions({"from_dtype"}), None],
        "lr": [*BaseNet._parameter_constraints["lr"], None],
        "batch_size": [*BaseNet._parameter_constraints["batch_size"], StrOptions({"auto"})],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.image_shape is None
        return tags

    def _check_X(self, X, *, reset, **how):
        X, layout = check_table(self, X, reset=reset, **how)
        return (layout.to_images(X) if layout.image_shape else X), layout

    def _start(self, rows, *, fresh):
        from ..augment.copies._views import check_keeps_columns, check_keeps_values

        if fresh:
            one_hot = not isinstance(self.module, str)  # the default module embeds categories itself
            table = self.image_shape_ is None
            self._columns = learn_columns(rows.X, rows.weight, self.is_categorical_, one_hot) if table else None
            self._auto_batch_size = auto_batch_size(len(rows), images=not table)
        if self.is_categorical_ is not None:
            check_keeps_values(self.augmenter, rows.X.shape[1])
        # Rows are augmented before missing values are replaced, so that a value and its indicator stay together.
        self._by_batch = self.augmenter is not None and self._columns is not None and not self._columns.is_plain
        if self._by_batch:
            check_keeps_columns(self.augmenter, rows.X.shape[1])

    def _settings(self):
        settings = super()._settings()
        return {**settings, **resolve_batches(settings["batch_size"], settings["lr"], self._auto_batch_size)}

    def _read_inputs(self, X, **how):
        return super()._read_inputs(X if self._columns is None or self._by_batch else self._columns.apply(X), **how)

    def _preparation(self, augmenter=None, rng=None):
        from ._inputs import prepare_table

        if self._by_batch:
            return prepare_table(augmenter, rng, self._columns)
        return super()._preparation(augmenter, rng)

    def _make_module(self, dataset, params):
        from ._modules import make_module

        # A table is not flattened for the default module, which standardizes each column separately.
        keeps_columns = self.image_shape_ is None and self._has_default_module and not self._by_batch
        prepare = None if keeps_columns else self._make_preparation(0)[1]
        x = dataset.x if prepare is None else prepare(dataset.x, None)[0]
        n_categories = () if self._columns is None else self._columns.n_categories
        how = {"n_categories": n_categories, "init": self.init, "dtype": self._dtype}
        return make_module(self.module, x, dataset.weight, self._n_outputs, params, **how)


class NetClassifier(ClassifierNetMixin, TableOrImageNet):
    """A neural net as a classifier.

    Parameters
    ----------
    module : "mlp", module class, factory or torch.nn.Module, default="mlp"
        ``"mlp"`` is a residual multilayer perceptron with standardized inputs (Gorishniy et al. 2021), of width 128 and
        depth 2, without dropout, and with an embedding vector for each category. To change it, pass for example
        ``net_params=dict(module__width=256, module__dropout=0.1)``.

        A class or factory is called with ``n_features`` and ``n_outputs`` if its signature has them; an instance is
        copied, never changed. The module is called with tables (n, n_features), or with images
        (n, channels, height, width) in 0..1, in the dtype of its own parameters. It returns logits: one per class or
        label, or for two classes a single one, that of ``classes_[1]``. If it returns a tuple, as GoogLeNet does in
        training, the first item is used. The notes describe its inputs for a table with missing values or categories.
    init : {"default", "he", "xavier"}, default="default"
        Initial weights of linear layers and convolutions. ``"default"`` keeps those of the module's constructor.
        ``"he"`` draws them from a normal distribution with variance 2 / inputs (He et al. 2015), ``"xavier"`` from a
        uniform distribution with variance 2 / (inputs + outputs) (Glorot & Bengio 2010), and biases are set to 0.
        Weights that the constructor sets to 0, such as those of the last layer of each residual block in the default
        module, stay 0. An instance keeps its weights.
    image_shape : int or tuple, default=None
        The shape of images that are given as rows: (height, width), (height, width, channels), or the side of a square.
        None means that rows are a table. Without channels, rows have one channel, and arrays of images any number.
    value_range : tuple of float, default=None
        The smallest and largest possible value of a pixel. None means (0, 255) for integers; for floats (0, 1) or
        (0, 255) if the pixels lie in this range, otherwise their minimum and maximum.
    categorical_features : "from_dtype", None, or array-like of bool, int or str, default="from_dtype"
        Categorical columns of a table, as in scikit-learn's HistGradientBoosting: those of a DataFrame (pandas or
        polars) with a categorical dtype, none, or those given by a mask, indices or names. Missing values are a
        separate category; a category that is not in the training rows is represented by the mean of those that are.
    augmenter : augmenter, default=None
        Draws a new augmentation of each row in each epoch; at prediction time, its deterministic counterpart is
        applied. If X has categories, use only augmenters that keep or exchange whole values: SwapNoise, CutMix and
        FeatureDropout.
    predict_views : int, default=0
        Number of augmented views per row at prediction time. Predictions are the mean over the row itself and its
        views. The draws are made once in ``fit`` and applied to all rows alike, so that the prediction for a row
        depends only on that row. Mixing steps (MixUp, CutMix, SwapNoise) are skipped. Without an augmenter, or with one
        that only mixes rows, the value is ignored, with a :class:`ViewsIgnoredWarning`.
    loss : "auto", "cross_entropy", "bce", torch loss class, instance or function, default="auto"
        ``"auto"`` is cross-entropy, or binary cross-entropy for multilabel targets. ``"bce"`` on labels requires two
        classes; their logit is the difference of the outputs. An instance is copied, and the copy computes in the
        dtype of the net.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"} or torch optimizer class, default="adamw"
        ``"sgd"`` has momentum 0.9. Set other parameters, such as ``optimizer__betas``, in ``net_params``.
    lr : float, "auto" or None, default=None
        Peak learning rate of the schedule. None means 2e-3, multiplied by ``batch_size_ / 128`` if
        ``batch_size="auto"``, up to 8e-3 (Goyal et al. 2017). ``"auto"`` finds it by a range test in ``fit``; see
        :func:`find_lr`. A number is never scaled.
    weight_decay : float, default=1e-2
        Weight decay for linear, convolution and embedding weights. Parameters with fewer than two dimensions, such as
        biases and those of normalization layers, do not decay, unless ``optimizer__param_groups`` in ``net_params``
        sets it.
    clip_norm : float, default=None
        Clip gradients to this norm. None disables clipping.
    schedule : {"warmup-cosine", "one-cycle", "plateau", "constant"}, default="warmup-cosine"
        Learning rate over the steps of one ``fit``. ``"warmup-cosine"`` rises during the first tenth, then falls along
        a cosine (Loshchilov & Hutter 2017). ``"one-cycle"`` rises during the first 30%, then falls to nearly 0 (Smith &
        Topin 2018). ``"plateau"`` is divided by ten whenever the validation loss, or without validation rows the
        training loss, has not fallen for half of ``n_iter_no_change`` epochs.
    average : {"ema", "swa"} or None, default=None
        Replace the final weights by an average over the training: an exponential moving average over the steps, or the
        mean over the ends of the epochs in the last quarter; see :class:`AverageWeights`.
    label_smoothing : float, default=0.0
        Fraction of the target that is spread evenly over all classes (Szegedy et al. 2016).
    max_epochs : int, default=20
        Number of passes over the rows. With noisy targets, a net soon overfits a few hundred rows; more epochs help if
        there is little noise, as for smooth functions and images.
    batch_size : int or "auto", default="auto"
        Samples per optimizer step. ``"auto"`` is 128 for images. For a table, it is the power of two nearest to a 36th
        of the rows in the first ``fit`` or ``partial_fit``, from 128 to 1,024: 128 up to 6,500 rows, 512 for 18,000.
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
        Other parameters of skorch's net: ``module__width``, ``optimizer__betas``, ``iterator_train__...``,
        ``callbacks__<name>__...``, ``compile``. A search can set its keys like parameters.
    device : str or torch.device, default="auto"
        Where the net is trained. ``"auto"`` is the CPU for tables; for images it is CUDA or MPS if available, otherwise
        the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        The floating-point type of the computation. ``"auto"`` is float32 on a CPU, so that predictions do not depend on
        the processor, and bfloat16 for images on an NVIDIA GPU that supports it (compute capability 8.0 or higher).
        ``"bfloat16"`` is faster on a CPU that has instructions for it (AVX-512 BF16, AMX); any other CPU issues a
        :class:`SlowPrecisionWarning`. Weights, loss and sums are always float32. bfloat16 keeps two to three decimal
        digits, which may reduce the accuracy: for a pretrained net (lite0) on photos by 0.3 to 0.9 points with
        50 labels per class, by nothing with 10.
    warm_start : bool, default=False
        Continue with the net of the previous ``fit``. Changes of parameters that apply only to a new net, such as
        ``optimizer`` and ``loss``, are then ignored, as in ``partial_fit``, with a :class:`ParametersIgnoredWarning`.
    verbose : int, default=0
        0: silent. 1: bars of epochs, and of rows in long predictions. 2: a line in the log per epoch instead.
    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, shuffling, augmentation and held-out rows. Pass an int for reproducible results.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted net; ``net_.module_`` is the torch module, ``net_.history`` contains the losses of each epoch.
    classes_ : ndarray of shape (n_classes,)
        The sorted labels; for multilabel targets, the indices of the columns of y.
    lr_ : float
        Peak learning rate used.
    batch_size_ : int
        Samples per optimizer step.
    precision_ : {"float32", "bfloat16"}
        The floating-point type of the computation: bfloat16 by autocast, or the dtype of the net's parameters.
    n_iter_ : int
        Number of completed epochs.
    n_features_in_ : int
        Number of columns; height x width x channels of images.
    feature_names_in_ : ndarray of shape (features,)
        Names of the columns of X; set only if X has names.
    image_shape_ : tuple or None
        (height, width, channels) of the images; None for a table.
    is_categorical_ : ndarray of shape (features,) or None
        True for categorical columns; None if there are none.

    Raises
    ------
    ValueError
        If the input is invalid for scikit-learn estimators in general, if a column that is not categorical contains
        strings or dates, or if numbers are out of range for the dtype in which the net computes.

    See Also
    --------
    FineTuneClassifier : A pretrained net for images.
    NetEnsembleClassifier : Several nets, trained together.
    diagnose : Look for common faults of a net and its rows.

    Notes
    -----
    The default module standardizes each column in float64, so that units and offsets do not matter, and then computes
    in float32. It computes in float64 if all rows of the first fit, without those held out, form one batch, and the
    loss is a name or one of torch's; then, a row of weight 2 is equivalent to the row given twice. Any other module
    computes in the dtype of its own parameters. Probabilities are float64 for tables that float32 cannot represent
    exactly; otherwise they have the dtype of the computation.

    Numbers in a table may be missing (NaN, None, ``pandas.NA``): they are replaced by the weighted mean of the training
    rows, and an additional column indicates them. For a table with missing values or categories, your own module
    receives ``n_features`` float columns: the numbers, in their order; a 0/1 column for each column with missing values
    in the training rows; and a 0/1 column for each category in the training rows, all 0 for an unknown category. Pixels
    must not be missing. In ``partial_fit``, the first rows determine the columns.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sktricks import NetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NetClassifier(max_epochs=30, random_state=0).fit(X, y)
    >>> bool(net.score(X, y) > 0.9)
    True
    """

    _parameter_constraints: dict = {
        **TableOrImageNet._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        module: str | Callable[..., Any] = "mlp",
        *,
        init: str = "default",
        image_shape: int | Sequence[int] | None = None,
        value_range: Sequence[float] | None = None,
        categorical_features: str | ArrayLike | None = "from_dtype",
        augmenter: BaseAugmenter | None = None,
        predict_views: int = 0,
        loss: str | Callable[..., Any] = "auto",
        optimizer: str | Callable[..., Any] = "adamw",
        lr: float | str | None = None,
        weight_decay: float = 1e-2,
        clip_norm: float | None = None,
        schedule: str = "warmup-cosine",
        average: str | None = None,
        label_smoothing: float = 0.0,
        max_epochs: int = 20,
        batch_size: int | str = "auto",
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
        self.module = module
        self.init = init
        self.image_shape = image_shape
        self.value_range = value_range
        self.categorical_features = categorical_features
        self.augmenter = augmenter
        self.predict_views = predict_views
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


class NetRegressor(RegressorNetMixin, TableOrImageNet):
    """A neural net as a regressor, for one output or several.

    Parameters
    ----------
    module, init, image_shape, value_range, categorical_features, augmenter, predict_views : optional
        As in :class:`NetClassifier`.
    loss : "auto", "squared_error", "absolute_error", "huber", torch loss class, instance or function, default="auto"
        ``"auto"`` is the squared error. With a named loss, y is standardized for the training; your own loss receives y
        unchanged.
    optimizer, lr, weight_decay, clip_norm, schedule, average, max_epochs, batch_size : optional
        As in :class:`NetClassifier`.
    early_stopping, validation_fraction, n_iter_no_change : optional
        As in :class:`NetClassifier`.
    callbacks, net_params, device, precision, warm_start, verbose, random_state : optional
        As in :class:`NetClassifier`.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The fitted net; ``net_.module_`` is the torch module, ``net_.history`` contains the losses of each epoch.
    lr_ : float
        Peak learning rate used.
    batch_size_ : int
        Samples per optimizer step.
    precision_ : {"float32", "bfloat16"}
        The floating-point type of the computation: bfloat16 by autocast, or the dtype of the net's parameters.
    n_iter_ : int
        Number of completed epochs.
    n_features_in_ : int
        Number of columns; height x width x channels of images.
    feature_names_in_ : ndarray of shape (features,)
        Names of the columns of X; set only if X has names.
    image_shape_ : tuple or None
        (height, width, channels) of the images; None for a table.
    is_categorical_ : ndarray of shape (features,) or None
        True for categorical columns; None if there are none.

    See Also
    --------
    NetClassifier : The same for classes, with the description of all parameters.
    FineTuneRegressor : A pretrained net for images.
    NetEnsembleRegressor : Several nets, trained together.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sktricks import NetRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = NetRegressor(max_epochs=20, random_state=0).fit(X, y)
    >>> bool(net.score(X, y) > 0.4)
    True
    """

    def __init__(
        self,
        module: str | Callable[..., Any] = "mlp",
        *,
        init: str = "default",
        image_shape: int | Sequence[int] | None = None,
        value_range: Sequence[float] | None = None,
        categorical_features: str | ArrayLike | None = "from_dtype",
        augmenter: BaseAugmenter | None = None,
        predict_views: int = 0,
        loss: str | Callable[..., Any] = "auto",
        optimizer: str | Callable[..., Any] = "adamw",
        lr: float | str | None = None,
        weight_decay: float = 1e-2,
        clip_norm: float | None = None,
        schedule: str = "warmup-cosine",
        average: str | None = None,
        max_epochs: int = 20,
        batch_size: int | str = "auto",
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
        self.module = module
        self.init = init
        self.image_shape = image_shape
        self.value_range = value_range
        self.categorical_features = categorical_features
        self.augmenter = augmenter
        self.predict_views = predict_views
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
