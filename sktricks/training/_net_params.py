"""The dict ``net_params`` of skorch's parameters, which searches can set; validation and copies of callbacks."""

from __future__ import annotations

from copy import deepcopy
from pickle import PicklingError

from .._parameter_checks import check_magnitude

PREFIXES = ("module", "criterion", "optimizer", "iterator_train", "iterator_valid", "dataset", "callbacks")
OTHERS = (*PREFIXES[3:6], "compile", "predict_nonlinearity", "use_caching", "torch_load_kwargs")
RATES = ("lr", "weight_decay", "clip_norm")  # torch rejects booleans for these
SAME = ("module", "optimizer", "lr", "max_epochs", "batch_size", "callbacks", "device", "verbose", "warm_start")
# Parameters of skorch that are set by a named parameter or by the estimator itself.
TAKEN = {
    **{name: name for name in SAME},
    "criterion": "loss",
    "optimizer__lr": "lr",
    "optimizer__weight_decay": "weight_decay",
    "criterion__label_smoothing": "label_smoothing",
    "criterion__reduction": "loss",
    "iterator_train__batch_size": "batch_size",
    "train_split": "validation_fraction",
}


def same_with(estimator, **params):
    """Return a shallow copy with other parameters; ``copy`` would call ``__getstate__``, which is overridden."""
    same = object.__new__(type(estimator))
    vars(same).update(vars(estimator), **params)
    return same


class NetParamsMixin:
    """Mixin whose ``get_params`` and ``set_params`` include the keys of ``net_params``.

    ``set_params(module__width=64)`` replaces the dict by an updated copy, so that clones never share a dict.
    """

    def get_params(self, deep: bool = True) -> dict:
        params = super().get_params(deep=deep)
        inner = self.net_params if deep and isinstance(self.net_params, dict) else {}
        return {name: value for name, value in inner.items() if isinstance(name, str)} | params  # fit rejects others

    def _validate_params(self):
        super()._validate_params()
        for name, value in self.get_params(deep=False).items():
            check_magnitude(name, value)
            if name in RATES and isinstance(value, bool):
                raise ValueError(f"{name} must be a number, got {value!r}")

    def set_params(self, **params):
        inner = {
            name: params.pop(name) for name in list(params) if name.partition("__")[0] in PREFIXES and "__" in name
        }
        super().set_params(**params)
        if inner:
            self.net_params = {**(self.net_params or {}), **inner}
        return self

    def __sklearn_clone__(self):
        """Return a clone like scikit-learn's, but with callbacks from :func:`deepcopy_callbacks`."""
        clone = super(NetParamsMixin, same_with(self, callbacks=None)).__sklearn_clone__()
        clone.callbacks = deepcopy_callbacks(self.callbacks)
        return clone

    def _split_net_params(self):
        """Return copies of the ``net_params`` for the module, for the loss, and for skorch."""
        params = deepcopy(self.net_params or {})
        module, loss = (
            {name.removeprefix(prefix): params.pop(name) for name in list(params) if name.startswith(prefix)}
            for prefix in ("module__", "criterion__")
        )
        return module, loss, params


def check_augmenter(augmenter):
    """Raise an error unless ``augmenter`` is None or an augmenter with valid parameters."""
    from ..augment import BaseAugmenter

    if augmenter is None:
        return
    if not isinstance(augmenter, BaseAugmenter):
        raise TypeError(
            "augmenter must be None or an augmenter of sktricks, such as RandomFlip() or "
            f"make_augmentation_pipeline(RandomFlip(), RandomCrop()), got {augmenter!r}"
        )
    augmenter.check_parameters()


def check_net_params(net_params):
    """Raise an error unless the keys are parameters of skorch's net that no named parameter sets."""
    for name in net_params or {}:
        if not isinstance(name, str):
            raise TypeError(
                "net_params must have strings as keys, such as 'module__width' or 'optimizer__betas', got the key "
                f"{name!r} of type {type(name).__name__}"
            )
        if name in TAKEN:
            raise ValueError(f"net_params must not have {name!r}: use the parameter {TAKEN[name]} instead")
        if name.partition("__")[0] not in PREFIXES and name not in OTHERS:
            raise ValueError(
                f"net_params must contain parameters of skorch's net, such as 'module__width', got {name!r}: use a "
                f"prefix of {', '.join(f'{prefix}__' for prefix in PREFIXES)}, or one of {', '.join(OTHERS)}"
            )


def check_callbacks(callbacks):
    """Raise an error unless all items are skorch callbacks or pairs of a name and a callback."""
    for item in callbacks or []:
        name, callback = item if is_named(item) else ("", item)
        if not (is_callback(callback) or (name and callback is None)):
            raise TypeError(
                "callbacks must contain skorch callbacks, or pairs of a name and a callback, such as ('stop', "
                f"EarlyStopping()), got {item!r} of type {type(item).__name__}"
            )
        if name.startswith("own_"):
            raise ValueError(f"callbacks must not have names that start with own_, got {name!r}: rename it")


def is_named(item):
    """Return True for a pair of a name and anything."""
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def is_callback(callback):
    """Return True for a skorch callback or a class of them."""
    from skorch.callbacks import Callback

    return isinstance(callback, Callback) or (isinstance(callback, type) and issubclass(callback, Callback))


def copy_callbacks(callbacks):
    """Return deep copies of the user's callbacks, since skorch changes them, without pairs of a name and None."""
    return deepcopy_callbacks([item for item in callbacks or [] if not (is_named(item) and item[1] is None)])


def deepcopy_callbacks(callbacks):
    """Return deep copies that share values that cannot be copied, such as an open TensorBoard log."""
    try:
        return deepcopy(callbacks)
    except (TypeError, PicklingError):
        held = [value for callback in unnamed(callbacks) for value in getattr(callback, "__dict__", {}).values()]
        return deepcopy(callbacks, {id(value): value for value in held if not can_be_copied(value)})


def unnamed(callbacks):
    """Return the callbacks without their names."""
    return [item[1] if is_named(item) else item for item in callbacks or []]


def can_be_copied(value):
    """Return True unless a value is, or contains, something like a lock or an open file."""
    try:
        deepcopy(value)
    except (TypeError, PicklingError):
        return False
    return True
