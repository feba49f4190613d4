"""skorch's own parameters behind one dict, searchable like any other; callbacks, checked and copied."""

from copy import deepcopy
from pickle import PicklingError

PREFIXES = ("module", "criterion", "optimizer", "iterator_train", "iterator_valid", "dataset", "callbacks")
# What a named knob sets, or what the estimator itself hands to skorch.
TAKEN = {
    "module": "module",
    "criterion": "loss",
    "optimizer": "optimizer",
    "lr": "lr",
    "optimizer__lr": "lr",
    "optimizer__weight_decay": "weight_decay",
    "criterion__label_smoothing": "label_smoothing",
    "criterion__reduction": "loss",
    "max_epochs": "max_epochs",
    "batch_size": "batch_size",
    "iterator_train__batch_size": "batch_size",
    "callbacks": "callbacks",
    "device": "device",
    "verbose": "verbose",
    "warm_start": "warm_start",
    "train_split": "validation_fraction",
}


def same_with(estimator, **params):
    """The same estimator with other parameters; by ``copy`` what is fitted would go through ``__getstate__``."""
    same = object.__new__(type(estimator))
    vars(same).update(vars(estimator), **params)
    return same


class NetParamsMixin:
    """``get_params`` and ``set_params`` that reach into the dict ``net_params``.

    ``set_params(module__width=64)`` replaces the dict by an updated copy, so that clones never share one.
    """

    def get_params(self, deep: bool = True) -> dict:
        params = super().get_params(deep=deep)
        return {**self.net_params, **params} if deep and isinstance(self.net_params, dict) else params

    def set_params(self, **params):
        inner = {
            name: params.pop(name) for name in list(params) if name.partition("__")[0] in PREFIXES and "__" in name
        }
        super().set_params(**params)
        if inner:
            self.net_params = {**(self.net_params or {}), **inner}
        return self

    def __sklearn_clone__(self):
        """A clone as scikit-learn makes it, with callbacks as :func:`deepcopy_callbacks` makes them."""
        clone = super(NetParamsMixin, same_with(self, callbacks=None)).__sklearn_clone__()
        clone.callbacks = deepcopy_callbacks(self.callbacks)
        return clone

    def _split_net_params(self):
        """Copies of those of ``net_params`` that are for the module, for the loss, and for skorch."""
        params = deepcopy(self.net_params or {})
        for name in params:
            if name in TAKEN:
                raise ValueError(f"net_params has {name!r}, which is set by the parameter {TAKEN[name]}: use that")
        module, loss = (
            {name.removeprefix(prefix): params.pop(name) for name in list(params) if name.startswith(prefix)}
            for prefix in ("module__", "criterion__")
        )
        return module, loss, params


def check_augmenter(augmenter):
    """An error unless it is None or an augmenter whose parameters are valid."""
    from ..augment import BaseAugmenter

    if augmenter is None:
        return
    if not isinstance(augmenter, BaseAugmenter):
        raise TypeError(
            "augmenter must be None or an augmenter of sktricks, such as RandomFlip(), or several as "
            f"make_augmentation_pipeline(RandomFlip(), RandomCrop()); got {augmenter!r}"
        )
    augmenter._check_parameters()


def copy_callbacks(callbacks):
    """Deep copies of the user's callbacks, since skorch changes those that it is given."""
    from skorch.callbacks import Callback

    for item in callbacks or []:
        callback = item[1] if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str) else item
        if not (isinstance(callback, Callback) or (isinstance(callback, type) and issubclass(callback, Callback))):
            raise TypeError(
                "callbacks must hold skorch callbacks, or pairs of a name and a callback, "
                f"got {item!r} of type {type(item).__name__}"
            )
    return deepcopy_callbacks(list(callbacks or []))


def deepcopy_callbacks(callbacks):
    """Deep copies; what a callback holds that cannot be copied, such as an open log of TensorBoard, they share."""
    try:
        return deepcopy(callbacks)
    except (TypeError, PicklingError):
        held = [value for item in callbacks for value in vars(item[1] if isinstance(item, tuple) else item).values()]
        return deepcopy(callbacks, {id(value): value for value in held if not can_be_copied(value)})


def can_be_copied(value):
    """Whether there can be a second one: not of a lock or an open file, nor of what holds one."""
    try:
        deepcopy(value)
    except (TypeError, PicklingError):
        return False
    return True
