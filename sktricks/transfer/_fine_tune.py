"""FineTuneClassifier and FineTuneRegressor: a pretrained net on your images."""

import os
import warnings
from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .._validation import FrozenPrefixNotCachedWarning, NoPretrainedBackboneWarning
from ..training._base import SETTINGS, BaseNet
from ..training._targets import ClassifierNetMixin, RegressorNetMixin
from ._cache import FeatureCache, resolve_cache
from ._cloning import clone_sharing_the_backbone
from ._files import check_inputs
from ._strategies import (
    FINE_TUNE,
    GRADUAL,
    LINEAR_PROBE,
    LP_FT,
    SCRATCH,
    STRATEGIES,
    TRAINING,
    check_rates,
    choose_strategy,
    labels_per_class,
    thawing_schedule,
)


class BaseFineTune(BaseNet):
    """A backbone and a head: which layers freeze, and what a frozen backbone saves."""

    _parameter_constraints: dict = {
        **{
            name: [*allowed, None] if name in SETTINGS else allowed
            for name, allowed in BaseNet._parameter_constraints.items()
        },
        "backbone": [str, callable],
        "strategy": [StrOptions({"auto", *STRATEGIES})],
        "freeze_until": [Interval(Real, 0, None, closed="left"), str, None],
        "stages": [StrOptions({"auto"}), list, tuple],
        "backbone_lr_scale": [Interval(Real, 0, None, closed="neither")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "cache": [str, os.PathLike, FeatureCache, None],
    }

    def __sklearn_clone__(self):
        return clone_sharing_the_backbone(self)

    @property
    def backbone_(self):
        """The backbone, fitted to the rows as far as it is not frozen; None where X is a table."""
        if "_loaded" in self.__dict__:
            return self._loaded  # fit has no net yet
        return getattr(self.net_.module_, "backbone", None)

    @property
    def batch_norm_(self):
        """What trainable BatchNorms of the backbone normalise by: ``"batch"`` or ``"running"`` statistics, or None."""
        from ._freeze import batch_norms, statistics_of

        return None if self.backbone_ is None else statistics_of(batch_norms(self.backbone_.layers[self._n_frozen :]))

    @property
    def n_trainable_parameters_(self):
        """How many numbers the training changes."""
        return sum(p.numel() for p in self.net_.module_.parameters() if p.requires_grad)

    def _layers(self):
        """All layers, in execution order, by the names that ``freeze_until`` takes."""
        from ._layers import Layer, layers_of

        module = self.net_.module_
        if self.backbone_ is None:
            return layers_of(module, [name for name, _ in module.named_modules()])
        head = [Layer(f"head.{name}", part) for name, part in module.head.named_children()]
        return [*self.backbone_.layers, *head]

    # -- hooks of BaseNet --------------------------------------------------------------------------------------------

    def _check_X(self, X, *, reset, ensure_min_samples=1):
        return check_inputs(self, X, reset=reset, ensure_min_samples=ensure_min_samples)

    def _settings(self):
        defaults = TRAINING[self.strategy_]
        return {name: own if own is not None else defaults[name] for name, own in super()._settings().items()}

    def _start(self, y):
        if self.image_shape_ is None:
            self._loaded, self._encoded, self.strategy_ = None, False, SCRATCH
            warn_of_table(type(self).__name__)
        else:
            self._load_backbone()
            self._choose_strategy(labels_per_class(y))

    def _load_backbone(self):
        from ._backbone_net import check_stages
        from ._templates import take_backbone

        auto = isinstance(self.backbone, str) and self.backbone == "auto"
        self._loaded = take_backbone("tiny32" if auto else self.backbone, self.image_shape_, self._device)
        self._stages = check_stages(self._loaded, self.stages)

    def _choose_strategy(self, n_labels):
        """Find what freezes, and whether each row need be encoded only once."""
        from ..training._inputs import table_dtype
        from ._freeze import FreezeLayers
        from ._layers import find_boundary

        layers, whole = self._loaded.layers, self.freeze_until == "head"
        self._n_frozen = len(layers) if whole else find_boundary(layers, self.freeze_until)
        everything = self._n_frozen == len(layers)
        self.strategy_ = choose_strategy(self.strategy, self.freeze_until, everything, n_labels)
        self._rates = self.backbone_lr_scale, self.layer_decay
        check_rates(self.strategy_, *self._rates)
        if self.strategy_ == LINEAR_PROBE:
            self._n_frozen = len(layers)
        frozen = self._n_frozen == len(layers)
        self._thaws = any(isinstance(callback, FreezeLayers) for callback in flat(self.callbacks))
        self._encoded = frozen and self.augmenter is None and not self._thaws
        if self._encoded:  # a head alone costs next to nothing, and in float64 a weight of 2 is a row given twice
            self._dtype = table_dtype(np.float64, self._device)
        elif frozen and self.augmenter is not None:
            warnings.warn(
                "the augmenter draws anew in every epoch, so the frozen backbone encodes every row in every epoch",
                FrozenPrefixNotCachedWarning,
                stacklevel=2,
            )

    def _read_inputs(self, X, *, fresh=False, fit=True):
        x = super()._read_inputs(X, fresh=fresh)
        if not self._encoded:
            return x
        features = self._encode(x, resolve_cache(self.cache), fill=fit, fresh=fresh)
        return features if fresh else self._prepared(self.net_.module_, features)

    def _prepared(self, module, features):
        """Features as the last layer takes them."""
        import torch

        with torch.no_grad():
            return module.head.prepare(features.to(self._device)).cpu()

    def _encode(self, x, cache=None, **how):
        """What the head sees, of a backbone as it was loaded: one that is trained has nothing to keep."""
        from ._backbone_net import encode, signed_sqrt

        features = encode(self.backbone_, x, self.value_range_, self._stages, self._device, cache, **how)
        return signed_sqrt(features)

    def _train(self, *args, **kwargs):
        super()._train(*args, **kwargs)
        cache = resolve_cache(self.cache)
        if self.verbose and self._encoded and cache is not None:
            from ._backbone_net import fingerprint_of_features

            print(cache.report(fingerprint_of_features(self.backbone_, self.value_range_, self._stages, self._device)))
        return self

    def _make_preparation(self, seed):
        from ..training._inputs import prepare_images

        if self.image_shape_ is None:
            return super()._make_preparation(seed)
        if self._encoded:
            return None, None
        settings = {"value_range": self.value_range_, "augmenter": self.augmenter, "finish": self.backbone_.preprocess}
        rng = None if self.augmenter is None else self.augmenter._make_rng(seed)
        return prepare_images(**settings, rng=rng), prepare_images(**settings)

    def _make_module(self, dataset, params):
        from ..training._modules import make_module
        from ._backbone_net import BackboneNet, Head

        if self._loaded is None:
            return make_module("mlp", dataset.x, dataset.weight, self._n_outputs, params).to(self._dtype)
        features, weight = self._features_to_learn_from(dataset)
        head = Head(features.shape[1], self._n_outputs).to(self._dtype)
        head.standardize.learn(features, weight)
        self._probed = features if self.strategy_ == LP_FT and dataset.y is not None else None
        return BackboneNet(self._loaded, head, self._stages)

    def _features_to_learn_from(self, dataset):
        """Features that tell mean and spread, and their weights: as the head will see them when training begins."""
        from ..training._inputs import select_images, some_rows
        from ._freeze import batch_norms, batch_statistics, enough_for_statistics

        if dataset.x.ndim == 2:
            return dataset.x, dataset.weight
        if self.strategy_ == LP_FT:  # which trains on all of them
            return self._encode(dataset.x, resolve_cache(self.cache), fresh=True), dataset.weight
        n_rows, some = some_rows(len(dataset))
        trains_at_once = self.strategy_ == FINE_TUNE and not self._thaws
        by_batch = trains_at_once and enough_for_statistics(min(len(dataset), self._settings()["batch_size"]))
        with batch_statistics(batch_norms(self._loaded.layers[self._n_frozen :]) if by_batch else []):
            features = self._encode(select_images(dataset.x, some))[:n_rows]
        return features, None if dataset.weight is None else dataset.weight[some[:n_rows]]

    def _own_callbacks(self):
        from ._freeze import ThawBackbone
        from ._probe import ProbeFirst

        if self.strategy_ == LP_FT:
            features, self._probed = self._probed, None
            return [("probe_first", ProbeFirst(features, self._seed))]
        if self.strategy_ == GRADUAL:
            return [("thawing", ThawBackbone(len(self._loaded.layers), self._thawing()))]
        return []

    def _thawing(self):
        """When the stages thaw that ``freeze_until`` leaves to be trained."""
        from ._layers import find_boundary

        layers = self._loaded.layers
        starts = [max(find_boundary(layers, stage), self._n_frozen) for stage in self._loaded.stages]
        return thawing_schedule([self._n_frozen, *starts], len(layers), self._settings()["max_epochs"])

    def _make_net(self, dataset):
        from ._freeze import set_frozen
        from ._rates import group_parameters, set_factors, stage_depths

        net, backbone = super()._make_net(dataset), self._loaded
        if self._encoded:
            dataset.x = self._prepared(net.module_, dataset.x)  # once for all epochs
        if backbone is not None:
            if self._rates != (1, 1):
                set_factors(backbone.layers, stage_depths(backbone.layers, backbone.stages), *self._rates)
                group_parameters(net.optimizer_, net.module_)
            set_frozen(backbone.model, backbone.layer_order, self._n_frozen, [net.optimizer_])
        del self._loaded
        return net

    def _before_epochs(self, n_rows):
        from ._freeze import batch_norms, choose_statistics

        if self.backbone_ is not None:
            choose_statistics(batch_norms(self.backbone_.layers[self._n_frozen :]), min(n_rows, self.net_.batch_size))

    def _build_again(self, backbone=None):
        self._loaded = None if backbone is None else backbone.to(self._device)
        super()._build_again()

    def _blank_row(self):
        import torch

        from ._templates import count_features

        if self._loaded is None:
            return super()._blank_row()
        return torch.zeros(1, count_features(self._loaded, self._stages, self.image_shape_))


def flat(callbacks):
    """Callbacks without their names."""
    return [item[1] if isinstance(item, tuple) else item for item in callbacks or []]


def warn_of_table(name):
    """Say that nothing pretrained exists for a table."""
    warnings.warn(
        f"{name} got rows without image_shape and has nothing pretrained for a table: a plain net is trained from "
        "scratch. If the rows are images, say image_shape=(height, width)",
        NoPretrainedBackboneWarning,
        stacklevel=2,
    )


class FineTuneClassifier(ClassifierNetMixin, BaseFineTune):
    """A pretrained net, fine-tuned to your images.

    Parameters
    ----------
    backbone : str, module class, factory or torch.nn.Module, default="auto"
        As in :func:`load_backbone`: a name such as ``"timm:resnet18"``, or a module of your own, whose instance is
        copied, never changed. ``"auto"`` is ``"tiny32"``, the bundled net for images of about 32 x 32 pixels.
    image_shape : tuple, default=None
        (height, width) or (height, width, channels) of images that come as rows. Rows without it are a table, for which
        nothing pretrained exists: the default net of :class:`NetClassifier` is trained, and a warning says so.
        Of image files, what they are decoded to, by default in colour and of the backbone's own size; see the notes.
    value_range : tuple of float, default=None
        The smallest and largest value of a pixel. None: 0 to 255 for integers; for floats 0 to 1 or 0 to 255 if the
        pixels lie in it, else their extremes. Raw pixels go in: resizing, channels and normalisation are the
        backbone's.
    strategy : {"auto", "linear-probe", "fine-tune", "lp-ft", "gradual"}, default="auto"
        What is trained, and when; see the notes.
    freeze_until : int, float, str or None, default=None
        Where freezing ends, exclusive as in ``range``: a number of the backbone's layers in execution order, a share of
        them, or the name of the first module that is trained. 0 or None freezes nothing, ``"head"`` the whole backbone.
        :func:`layer_table` prints the layers. Frozen means bit-frozen: parameters, buffers and dropout.
    stages : "auto" or list of str, default="auto"
        The stages of the backbone whose features the head sees.
    augmenter : augmenter, default=None
        Draws anew for each row in each epoch; its deterministic counterpart applies at prediction.
    backbone_lr_scale : float, default=1.0
        The learning rate of the backbone as a multiple of the head's.
    layer_decay : float, default=1.0
        What multiplies the learning rate from each stage to the one before it, in (0, 1]; the last stage has it once.
    cache : "auto", None, path or FeatureCache, default="auto"
        Where the features of a frozen backbone are kept, so that each row is encoded once for all epochs, folds and
        candidates of a search. ``"auto"`` is one cache of 512 MB for all estimators in the process, a path a folder,
        which several processes share. None: each ``fit`` encodes anew. See :class:`FeatureCache`.
    loss : "auto", "cross_entropy", "bce", torch loss class, instance or function, default="auto"
        ``"auto"`` is cross-entropy, and binary cross-entropy where rows have several labels.
    optimizer : {"adamw", "adam", "sgd", "rmsprop"} or torch optimizer class, default=None
        None is the strategy's, as for other parameters that may be None below. ``"sgd"`` has momentum 0.9.
    lr : float, default=None
        The learning rate, the highest of the schedule.
    weight_decay : float, default=None
    clip_norm : float, default=None
        The largest norm of the gradient.
    schedule : {"warmup-cosine", "constant"}, default="warmup-cosine"
        Of the learning rate over the updates of one ``fit``.
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
        skorch callbacks, or pairs of a name and one; they are copied.
    net_params : dict, default=None
        Any other parameter of skorch's net, such as ``optimizer__momentum``.
    device : str or torch.device, default="auto"
        ``"auto"`` is CUDA, then MPS, where there is one.
    warm_start : bool, default=False
        Go on from the net of the previous ``fit``.
    verbose : int, default=0
        1 shows a progress bar, and how many rows were encoded and reused so far.
    random_state : int, RandomState instance or None, default=None

    Attributes
    ----------
    strategy_ : str
        The strategy that was used; ``"from-scratch"`` for a table.
    backbone_ : Backbone
    batch_norm_ : {"batch", "running"} or None
        What BatchNorm normalises by where it is trained: the batch, or its running statistics if a batch has fewer than
        16 rows. None where none is trained.
    net_ : skorch.NeuralNet
        The net inside; ``net_.module_`` is the torch module, ``net_.history`` the losses of each epoch.
    n_trainable_parameters_ : int
    classes_ : ndarray of shape (n_classes,)
    n_iter_ : int
        Whole epochs trained.
    n_features_in_ : int
        Of images height x width x channels.
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
    "linear-probe" the head                        sgd       1e-3   0            100        128
    "fine-tune"    all from freeze_until on        adamw     1e-3   0.05         15         64
    "lp-ft"        the same, after a linear probe  adamw     1e-3   0.05         15         64
    "gradual"      the same, thawed stage by stage adamw     1e-3   0.05         15         64
    ============== =============================== ========= ====== ============ ========== ==========

    ``"lp-ft"`` (Kumar et al. 2022) first trains the head as ``"linear-probe"`` does by default, on features of images
    that are not augmented; the parameters are those of the second phase. ``"gradual"`` (Howard & Ruder 2018) trains the
    head alone at first and thaws the last stage, then the one before it, and so on, over the first half of
    ``max_epochs``. ``backbone_lr_scale`` and ``layer_decay`` (Clark et al. 2020) are for all but ``"linear-probe"``.

    X may also be one column of image files: paths or bytes in a list, an array, a Series or a DataFrame of one column.
    They are read batch by batch as :class:`ImageLoader` reads them, so many photos need little memory; a file that is
    missing or damaged is an error that names it. (height, width) of files are in colour, (height, width, 1) is grey.

    ``"auto"`` is ``"linear-probe"`` below 100 labels a class on average and ``"fine-tune"`` from there on, unless
    ``freeze_until`` says what to freeze. Where the whole backbone is frozen and nothing is augmented, each row is
    encoded once for all epochs and fits that share a ``cache``.

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
        backbone="auto",
        *,
        image_shape=None,
        value_range=None,
        strategy="auto",
        freeze_until=None,
        stages="auto",
        augmenter=None,
        backbone_lr_scale=1.0,
        layer_decay=1.0,
        cache="auto",
        loss="auto",
        optimizer=None,
        lr=None,
        weight_decay=None,
        clip_norm=None,
        schedule="warmup-cosine",
        label_smoothing=0.0,
        max_epochs=None,
        batch_size=None,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        callbacks=None,
        net_params=None,
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.backbone = backbone
        self.image_shape = image_shape
        self.value_range = value_range
        self.strategy = strategy
        self.freeze_until = freeze_until
        self.stages = stages
        self.augmenter = augmenter
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.cache = cache
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.schedule = schedule
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
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state


class FineTuneRegressor(RegressorNetMixin, BaseFineTune):
    """A pretrained net, fine-tuned to predict values from your images.

    Parameters
    ----------
    backbone, image_shape, value_range, strategy, freeze_until, stages, augmenter, backbone_lr_scale, layer_decay, cache
        As in :class:`FineTuneClassifier`; ``"auto"`` takes a tenth of the rows for the labels a class.
    loss : "auto", "squared_error", "absolute_error", "huber", torch loss class, instance or function, default="auto"
        ``"auto"`` is the squared error. With a loss by name y is standardised for the training; a loss of your own sees
        y as it is.
    optimizer, lr, weight_decay, clip_norm, schedule, max_epochs, batch_size
        As in :class:`FineTuneClassifier`.
    early_stopping, validation_fraction, n_iter_no_change, callbacks, net_params, device
        As in :class:`FineTuneClassifier`.
    warm_start, verbose, random_state
        As in :class:`FineTuneClassifier`.

    Attributes
    ----------
    strategy_ : str
        The strategy that was used; ``"from-scratch"`` for a table.
    backbone_ : Backbone
    batch_norm_ : {"batch", "running"} or None
        As in :class:`FineTuneClassifier`.
    net_ : skorch.NeuralNet
        The net inside; ``net_.module_`` is the torch module, ``net_.history`` the losses of each epoch.
    n_trainable_parameters_ : int
    n_iter_ : int
        Whole epochs trained.
    n_features_in_ : int
        Of images height x width x channels.
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

    def __init__(
        self,
        backbone="auto",
        *,
        image_shape=None,
        value_range=None,
        strategy="auto",
        freeze_until=None,
        stages="auto",
        augmenter=None,
        backbone_lr_scale=1.0,
        layer_decay=1.0,
        cache="auto",
        loss="auto",
        optimizer=None,
        lr=None,
        weight_decay=None,
        clip_norm=None,
        schedule="warmup-cosine",
        max_epochs=None,
        batch_size=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        callbacks=None,
        net_params=None,
        device="auto",
        warm_start=False,
        verbose=0,
        random_state=None,
    ):
        self.backbone = backbone
        self.image_shape = image_shape
        self.value_range = value_range
        self.strategy = strategy
        self.freeze_until = freeze_until
        self.stages = stages
        self.augmenter = augmenter
        self.backbone_lr_scale = backbone_lr_scale
        self.layer_decay = layer_decay
        self.cache = cache
        self.loss = loss
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.clip_norm = clip_norm
        self.schedule = schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.callbacks = callbacks
        self.net_params = net_params
        self.device = device
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state
