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
from ._strategies import FINE_TUNE, LINEAR_PROBE, SCRATCH, TRAINING, choose_strategy, labels_per_class


class BaseFineTune(BaseNet):
    """A backbone and a head: which layers freeze, and what a frozen backbone saves."""

    _parameter_constraints: dict = {
        **{
            name: [*allowed, None] if name in SETTINGS else allowed
            for name, allowed in BaseNet._parameter_constraints.items()
        },
        "backbone": [str, callable],
        "strategy": [StrOptions({"auto", LINEAR_PROBE, FINE_TUNE})],
        "freeze_until": [Interval(Real, 0, None, closed="left"), str, None],
        "stages": [StrOptions({"auto"}), list, tuple],
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

    def _settings(self):
        defaults = TRAINING[self.strategy_]
        return {name: own if own is not None else defaults[name] for name, own in super()._settings().items()}

    def _start(self, y):
        if self.image_shape_ is None:
            self._loaded, self._encoded, self.strategy_ = None, False, SCRATCH
            warn_of_table(type(self).__name__)
        else:
            self.strategy_ = choose_strategy(self.strategy, self.freeze_until, labels_per_class(y))
            self._start_backbone()

    def _start_backbone(self):
        """Load the backbone and find what of it freezes."""
        from ..training._inputs import table_dtype
        from ._backbone_net import check_stages
        from ._freeze import FreezeLayers
        from ._layers import find_boundary
        from ._templates import take_backbone

        auto = isinstance(self.backbone, str) and self.backbone == "auto"
        backbone = take_backbone("tiny32" if auto else self.backbone, self.image_shape_, self._device)
        self._loaded, self._stages = backbone, check_stages(backbone, self.stages)
        n_layers = len(backbone.layers)
        everything = self.strategy_ == LINEAR_PROBE
        self._n_frozen = n_layers if everything else find_boundary(backbone.layers, self.freeze_until)
        thaws = any(isinstance(callback, FreezeLayers) for callback in flat(self.callbacks))
        self._encoded = self._n_frozen == n_layers and self.augmenter is None and not thaws
        if self._encoded:  # a head alone costs next to nothing, and in float64 a weight of 2 is a row given twice
            self._dtype = table_dtype(np.float64, self._device)
        elif self._n_frozen == n_layers and self.augmenter is not None:
            warnings.warn(
                "the augmenter draws anew in every epoch, so the frozen backbone encodes every row in every epoch",
                FrozenPrefixNotCachedWarning,
                stacklevel=2,
            )

    def _read_inputs(self, X, *, fresh=False, fit=True):
        x = super()._read_inputs(X, fresh=fresh)
        return self._encode(x, resolve_cache(self.cache), fill=fit, fresh=fresh) if self._encoded else x

    def _encode(self, x, cache=None, **how):
        """What the head sees; a backbone that will be trained leaves nothing to keep."""
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
        features = dataset.x if self._encoded else self._encode(dataset.x)
        head = Head(features.shape[1], self._n_outputs).to(self._dtype)
        head.standardize.learn(features, dataset.weight)
        return BackboneNet(self._loaded, head, self._stages)

    def _make_net(self, dataset):
        from ._freeze import set_frozen

        net = super()._make_net(dataset)
        if self._loaded is not None:
            set_frozen(self._loaded.model, self._loaded.layer_order, self._n_frozen, [net.optimizer_])
        del self._loaded
        return net


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
        ``"auto"`` is ``"tiny32"``, the bundled net for images of about 32 x 32 pixels. A module class or factory is
        called without arguments, an instance is copied, never changed; the linear layer that it ends with is taken off.
    image_shape : tuple, default=None
        (height, width) or (height, width, channels) of images that come as rows. Rows without it are a table, for which
        nothing pretrained exists: the default net of :class:`NetClassifier` is trained, and a warning says so.
    value_range : tuple of float, default=None
        The smallest and largest value of a pixel. None: 0 to 255 for integers; for floats 0 to 1 or 0 to 255 if the
        pixels lie in it, else their extremes. Raw pixels go in: resizing, channels and normalisation are the
        backbone's.
    strategy : {"auto", "linear-probe", "fine-tune"}, default="auto"
        What is trained; see the notes.
    freeze_until : int, float, str or None, default=None
        Where freezing ends, exclusive as in ``range``: a number of the backbone's layers in execution order, a share of
        them, or the name of the first module that is trained. 0 or None freezes nothing, ``"head"`` the whole backbone.
        :func:`layer_table` prints the layers. Frozen means bit-frozen: parameters, buffers and dropout.
    stages : "auto" or list of str, default="auto"
        The stages of the backbone whose features the head sees.
    augmenter : augmenter, default=None
        Draws anew for each row in each epoch; its deterministic counterpart applies at prediction.
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

    ============== ====================== ========= ====== ============ ========== ==========
    strategy       trained                optimizer lr     weight_decay max_epochs batch_size
    ============== ====================== ========= ====== ============ ========== ==========
    "linear-probe" the head               sgd       1e-3   0            100        128
    "fine-tune"    from freeze_until on   adamw     1e-3   0.05         15         64
    ============== ====================== ========= ====== ============ ========== ==========

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
    backbone, image_shape, value_range, strategy, freeze_until, stages, augmenter, cache
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
