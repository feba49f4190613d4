"""The base class of FineTuneClassifier and FineTuneRegressor: a strategy, and a head on the features of a prefix."""

from __future__ import annotations

import os
from contextlib import nullcontext
from copy import copy
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._log import logger
from .._progress import progress as progress_of
from .._warnings import FrozenPrefixNotCachedWarning, NoPretrainedBackboneWarning, warn
from ..images._resize import RESIZE_MODES
from ..training._base_net import BaseNet
from ..training._hooks import SETTINGS
from ..training._net_params import unnamed
from ._auto_backbone import choose_backbone
from ._path_columns import check_inputs, warn_of_lost_detail
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
    describe_choice,
    is_costly,
    labels_per_class,
    probe_settings,
    raise_bias_rate,
)
from .cache._feature_cache import FeatureCache, resolve_cache
from .cache._sharing import SharesBackbone

if TYPE_CHECKING:
    import skorch

    from ._prefix import Prefix
    from .backbones import Backbone

BLOCK = 1024  # images whose views are computed at once
# Parameters that are ignored when training continues, in addition to those of all nets.
KEPT = ("backbone", "resize_mode", "strategy", "freeze_until", "stages", "backbone_lr_scale", "layer_decay", "n_views")


class BaseFineTune(SharesBackbone, BaseNet):
    """Base class of estimators that train a head on a backbone, with some or all layers of the backbone frozen."""

    _parameter_constraints: dict = {
        **{
            name: [*allowed, None] if name in SETTINGS else allowed
            for name, allowed in BaseNet._parameter_constraints.items()
        },
        "backbone": [str, callable],
        "resize_mode": [StrOptions(set(RESIZE_MODES))],
        "strategy": [StrOptions({"auto", *STRATEGIES})],
        "freeze_until": [Interval(Real, 0, None, closed="left"), str, None],
        "stages": [StrOptions({"auto"}), list, tuple],
        "backbone_lr_scale": [Interval(Real, 0, None, closed="neither")],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "cache": [str, os.PathLike, FeatureCache, None],
    }

    # -- what is fitted ----------------------------------------------------------------------------------------------

    # The skorch net and the Prefix, whose backbone is part of the net's module; None if X is a table.
    _prefix: Prefix | None

    # skorch pickles its module as bytes, so that a pickle or deep copy would contain the backbone twice.

    def __getstate__(self):
        state, prefix = super().__getstate__(), vars(self).get("_prefix")
        return state if prefix is None else {**state, "_prefix": prefix.without_backbone()}

    def __setstate__(self, state):
        super().__setstate__(state)
        if vars(self).get("_prefix") is not None:
            self._prefix.backbone = self._net.module_.backbone

    @property
    def net_(self) -> skorch.NeuralNet:
        """The fitted skorch net."""
        from .cache._pool import mark_seen

        net = super().net_
        if self._prefix is not None:
            mark_seen(self._prefix.backbone)
        return net

    @property
    def backbone_(self) -> Backbone | None:
        """The backbone, fine-tuned unless it is frozen; None if X is a table."""
        return getattr(self.net_.module_, "backbone", None)

    @property
    def batch_norm_(self) -> str | None:
        """The statistics of trainable BatchNorms, ``"batch"`` or ``"running"``; None if there are none."""
        check_is_fitted(self)
        return None if self._prefix is None else self._prefix.statistics

    @property
    def n_trainable_parameters_(self) -> int:
        """The number of trainable parameters."""
        check_is_fitted(self)
        return sum(p.numel() for p in self._net.module_.parameters() if p.requires_grad)

    def _layers(self):
        """Return all layers in execution order, with the names that ``freeze_until`` accepts."""
        from .freezing._layers import Layer, layers_of

        module = self.net_.module_
        if self._prefix is None:
            return layers_of(module, [name for name, _ in module.named_modules()])
        head = [Layer(f"head.{name}", part) for name, part in module.head.named_children()]
        return [*self._prefix.backbone.layers, *head]

    # -- hooks, in the order of training/_hooks.py -------------------------------------------------------------------

    # A range test trains all layers from the start, since the learning rate applies to all of them.
    _all_at_once, _range_test_params = False, {"_all_at_once": True}

    @property
    def _kept_params(self):
        drawn_once = self._prefix is not None and self._prefix.encodes_once  # the views are drawn in the first fit
        return [*super()._kept_params, *KEPT, *(["augmenter"] if drawn_once else [])]

    def _check_X(self, X, *, reset, **how):
        return check_inputs(self, X, reset=reset, **how)

    def _start(self, rows, *, fresh):
        if not fresh:
            return
        self._n_rows = rows.total
        if self.image_shape_ is None:
            self._prefix, self.backbone_name_, self.strategy_ = None, None, SCRATCH
            warn_of_table(type(self).__name__)
        else:
            self._make_prefix(rows)
        if self.n_views > 1 and self.augmenter is not None:
            self._check_fit_views()

    def _settings(self):
        defaults = TRAINING[self.strategy_]
        if self._has_probe_settings:
            defaults = self._probe_settings()
        return {name: own if own is not None else defaults[name] for name, own in super()._settings().items()}

    @property
    def _has_probe_settings(self):
        """True if the default settings are those of a linear probe with SGD, which suit no other optimizer."""
        return self.strategy_ == LINEAR_PROBE and self.optimizer in (None, "sgd")

    def _probe_settings(self):
        """Return the settings of a linear probe on these features, for this number of rows."""
        return probe_settings(self._prefix.n_features, self._n_rows, is_classifier(self))

    @property
    def _module_precision(self):
        encoded = self._prefix is not None and self._prefix.encodes_once
        return "float32" if encoded else self.precision_  # a head is fast in float32 as well

    @property
    def _must_be_exact(self):
        return self._prefix is not None and self._prefix.numpy_dtype == np.float64

    @property
    def _may_be_exact(self):
        return self._prefix is None or self._prefix.encodes_once  # a table, or a head on frozen features

    def _read_inputs(self, X, *, fresh=False, fit=True, held_out=False, view=None, progress=None):
        prefix = self._prefix
        if prefix is not None and prefix.encodes_once:
            x = super()._read_inputs(X, fresh=fresh)
            how = {"cache": resolve_cache(self.cache), "unchanged": fresh, "progress": progress}
            features = self._encode_views(x, fit, held_out, view, **how)
            return features if fresh else self._standardized(self._net, features)
        x = super()._read_inputs(X, fresh=fresh, view=view)
        if not fit or prefix is None or prefix.boundary is None:
            return x
        cache = resolve_cache(self.cache) if fresh else None  # its fingerprint includes the trained layers
        with self._counted(len(x)) as progress:
            return prefix.encode_prefix(x, cache, unchanged=fresh, progress=progress)

    @property
    def _n_fit_views(self):
        return self.n_views - 1 if self._prefix is not None and self._prefix.encodes_once else 0  # without the original

    def _make_module(self, dataset, params):
        from ..training._modules import make_module
        from ._backbone_net import BackboneNet, Head

        prefix = self._prefix
        if prefix is None:
            return make_module("mlp", dataset.x, dataset.weight, self._n_outputs, params, dtype=self._dtype)
        head = Head(prefix.widths, self._n_outputs).to(self._dtype)
        return BackboneNet(None if self._trains_head_alone else prefix.backbone, head, prefix.stages, prefix.boundary)

    def _own_callbacks(self):
        if self.strategy_ != GRADUAL:
            return []
        from ._thawing import thaw_by_stages

        return [("thawing", thaw_by_stages(self._prefix, self._settings()["max_epochs"]))]

    def _adapt_net(self, net, dataset):
        if self._prefix is None:
            return
        if dataset.y is not None:  # if y is None, ``load`` fills the net
            features, weight = self._example_features(dataset)
            net.module_.head.standardize.learn(features, weight)
            if self.strategy_ == LP_FT:
                from ._probe import ProbeFirst

                net.callbacks_.append(
                    ("probe_first", ProbeFirst(features, self._seed, self._probe_settings()).initialize())
                )
        if self._prefix.encodes_once:
            dataset.x = self._standardized(net, dataset.x)  # once for all epochs
        if not self._trains_head_alone:
            self._prefix.freeze(net)
        if self._has_probe_settings and self.lr is None and not self._freezes_by_callback:
            raise_bias_rate(net.optimizer_, self._prefix.n_features)

    def _make_preparation(self, seed):
        from ..training._inputs import first_view, pick_view

        if self._prefix is not None and self._prefix.encodes_once and self._fit_views:
            return partial(pick_view, rng=np.random.default_rng(seed)), first_view
        return super()._make_preparation(seed)

    def _preparation(self, augmenter=None, rng=None):
        if self._prefix is None:
            return super()._preparation(augmenter, rng)
        return None if self._prefix.encodes_once else self._prefix.prepare(augmenter, rng)

    def _before_epochs(self, n_rows):
        if self._prefix is not None and not self._prefix.encodes_once:
            self._prefix.choose_statistics(min(n_rows, self._net.batch_size))

    def _trained_part(self):
        if self._prefix is None:
            return self._net.module_
        return self._net.module_.head.linear if self._prefix.encodes_once else None

    def _after_training(self):
        if self._prefix is None:
            return
        if self._net.module_.backbone is None:  # only the head was trained
            self._net.module_.backbone = self._prefix.backbone
        cache = resolve_cache(self.cache)
        if self.verbose and self._prefix.encodes_once and cache is not None:
            logger.info(self._prefix.report(cache))

    def _blank_row(self):
        import torch

        return super()._blank_row() if self._prefix is None else torch.zeros(1, self._prefix.n_features)

    def _build_again(self, backbone=None):
        """Build the net as ``fit`` does, with a backbone whose weights :func:`~sktricks.load` fills in."""
        if backbone is not None:
            self._prefix.attach(backbone.to(self._device), self.value_range_, self._device, self.precision_)
        super()._build_again()
        if backbone is not None:
            self._net.module_.backbone = backbone

    def _follow_widths(self):
        if self._prefix is not None:
            self._prefix.backbone.count_again()
            self._net.module_.head.standardize.blocks = self._prefix.widths

    # -- the prefix --------------------------------------------------------------------------------------------------

    def _make_prefix(self, rows):
        """Choose the strategy for these rows, and return the prefix for it."""
        from ..training._precision import fit_precision
        from ._prefix import Prefix, check_stages
        from .cache._pool import find_loaded

        spec = choose_backbone(self.backbone, *self.image_shape_[:2])
        loaded = find_loaded(spec, self.image_shape_, self._device, self.resize_mode)
        warn_of_lost_detail(rows.X, loaded.backbone)
        layers, self.backbone_name_ = loaded.backbone.layers, loaded.backbone.name
        stages = getattr(loaded.backbone.model, "head_stages", "auto") if isinstance(self.stages, str) else self.stages
        prefix = self._prefix = Prefix(
            check_stages(loaded.backbone, stages),
            self._choose_strategy(loaded.backbone, labels_per_class(rows.y)),
            rates=(self.backbone_lr_scale, self.layer_decay),
        )
        if prefix.n_frozen == len(layers) and not self._freezes_by_callback:
            prefix.encodes_once = self.augmenter is None or self.n_views > 1
            if not prefix.encodes_once:
                warn_of_epochs()
        backbone = loaded.lend(frozen=True) if self._trains_head_alone else loaded.copy()
        self.precision_ = fit_precision(self.precision_, self.precision, backbone.dtype, "backbone")
        prefix.attach(backbone, self.value_range_, self._device, self.precision_)
        self._check_augmented_images(backbone)
        prefix.boundary = self._find_boundary(prefix, len(rows))

    def _check_augmented_images(self, backbone):
        """Raise an error if the augmenter changes the shape of images, but the backbone requires a fixed shape."""
        import torch

        from ..training._augmented_shape import naming_augmenter, output_shape
        from .freezing._layers import evaluating

        height, width, channels = found = output_shape(self.augmenter, self.image_shape_)
        if found != self.image_shape_:
            x = torch.zeros(1, channels, height, width, device=self._device)
            with naming_augmenter(self.augmenter, self.image_shape_, "backbone"), evaluating(backbone):
                backbone.run(backbone.preprocess(x))

    def _choose_strategy(self, backbone, n_labels):
        """Choose ``strategy_``, and return the number of frozen layers."""
        from .backbones._load_backbone import UNTRAINED
        from .freezing._layers import find_boundary

        layers = backbone.layers
        n_frozen = len(layers) if self.freeze_until == "head" else find_boundary(layers, self.freeze_until)
        is_untrained = isinstance(self.backbone, str) and self.backbone.startswith(UNTRAINED)
        at_once = self._freezes_by_callback or is_untrained
        costly = not at_once and is_costly(backbone.preprocess.size, self._device)
        everything = n_frozen == len(layers)
        self.strategy_ = choose_strategy(self.strategy, self.freeze_until, everything, n_labels, at_once, costly)
        if self.strategy_ == GRADUAL and self._all_at_once:
            self.strategy_ = FINE_TUNE
        check_rates(self.strategy_, self.backbone_lr_scale, self.layer_decay)
        if self.verbose and not self._all_at_once:  # of a range test, the fit after it reports the same
            by_cost = costly and self.strategy == "auto" and self.freeze_until is None
            logger.info(describe_choice(backbone, self.image_shape_, self.strategy_, n_labels, by_cost))
        return len(layers) if self.strategy_ == LINEAR_PROBE else n_frozen

    def _find_strategy(self, y):
        """Return the strategy that ``fit`` would choose, without reporting it."""
        from ..training._inputs import pick_device
        from ..training._randomness import kept_randomness
        from .cache._pool import find_loaded

        other = copy(self)
        other.verbose, other._device = 0, pick_device(self.device, images=True)
        spec = choose_backbone(self.backbone, *self.image_shape_[:2])
        with kept_randomness():
            loaded = find_loaded(spec, self.image_shape_, other._device, self.resize_mode)
        other._choose_strategy(loaded.backbone, labels_per_class(y))
        return other.strategy_

    @property
    def _freezes_by_callback(self):
        """True if a callback of the user freezes layers."""
        from .freezing._freeze import FreezeLayers

        return any(isinstance(callback, FreezeLayers) for callback in unnamed(self.callbacks))

    @property
    def _trains_head_alone(self):
        """True if the backbone is added to the net only after training, since no step or user code needs it."""
        probes = self._prefix.encodes_once and self.strategy_ == LINEAR_PROBE
        return probes and not self.callbacks and not self.net_params

    def _find_boundary(self, prefix, n_rows):
        """Return the boundary after the frozen layers if the values there are computed only once; otherwise None."""
        from .freezing._boundary import find_crossing

        cache, backbone = resolve_cache(self.cache), prefix.backbone
        partly = self.strategy_ == FINE_TUNE and 0 < prefix.n_frozen < len(backbone.layers)
        if not partly or cache is None or self.augmenter is not None or self._freezes_by_callback:
            return None
        boundary = find_crossing(backbone, prefix.n_frozen, prefix.stages, self.image_shape_)
        n_bytes = 0 if boundary is None else backbone.dtype.itemsize * n_rows * boundary.n_values
        return boundary if n_bytes <= cache.max_bytes // 2 else None

    def _check_fit_views(self):
        """Raise an error unless each view of a row can be encoded once."""
        if self._n_fit_views == 0:
            why = "FreezeLayers in callbacks" if self._freezes_by_callback else f"the strategy {self.strategy_!r}"
            raise ValueError(
                f"n_views={self.n_views} requires a backbone that stays frozen, and cannot be combined with {why}, "
                "for which the augmenter draws again in every epoch: use n_views=1, or strategy='linear-probe'"
            )
        if self.augmenter.mixes_rows:
            raise ValueError(
                f"n_views={self.n_views} fixes the views of each row, and cannot be combined with "
                f"{type(self.augmenter).__name__}, which mixes rows: remove steps that mix rows, or use n_views=1"
            )

    # -- features ----------------------------------------------------------------------------------------------------

    def _encode_views(self, x, fit, held_out, view, progress=None, **how):
        """Return the features of images as a view has them; of training rows (n, views, features) if there are several.

        ``fit`` stores all features, predictions only a few.
        """
        import torch

        views = [view, *(self._fit_views if fit and not held_out else [])]
        with nullcontext(progress) if progress else self._counted(len(x) * len(views)) as progress:
            features = [self._encode(x, one, fill=fit, progress=progress, **how) for one in views]
        return features[0] if len(views) == 1 else torch.stack(features, dim=1)

    def _counted(self, n_images):
        """Return a count of images that are encoded."""
        return progress_of(n_images, "encoding", "image", self.verbose)

    def _encode(self, x, view=None, **how):
        """Return the features of a view of images, by default those of the images at prediction time."""
        import torch

        from ..training._inputs import view_of
        from ._backbone_net import signed_power

        if self._augmenter is None:
            return signed_power(self._prefix.encode(x, **how))
        parts = (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))
        seen = (view_of(part, view, self.value_range_, self._augmenter) for part in parts)
        return torch.cat([signed_power(self._prefix.encode(part, **how)) for part in seen])

    def _standardized(self, net, features):
        """Return features as the input of the last layer."""
        import torch

        with torch.no_grad():
            return net.module_.head.prepare(features.to(self._device)).cpu()

    def _example_features(self, dataset):
        """Return features as the head receives them at the start of training, and their weights."""
        from ..training._inputs import STATISTICS_OF, select_images, some_rows
        from ._backbone_net import signed_power
        from .freezing._freeze import batch_statistics, learns_statistics

        x, weight, prefix = dataset.x, dataset.weight, self._prefix
        if prefix.encodes_once:
            n_views = x.shape[1] if x.ndim == 3 else 1
            return x.flatten(0, -2), None if weight is None else weight.repeat_interleave(n_views)
        if self.strategy_ == LP_FT:  # the linear probe is trained on all features
            with self._counted(len(x)) as progress:
                features = self._encode(x, cache=resolve_cache(self.cache), unchanged=True, progress=progress)
            return features, weight
        n_rows, some = some_rows(len(dataset))
        trained_at_once = self.strategy_ == FINE_TUNE and not self._freezes_by_callback
        norms = prefix.trainable_norms() if trained_at_once else []
        batch_size = min(len(dataset), self._settings()["batch_size"])
        with batch_statistics([norm for norm in norms if learns_statistics(norm, batch_size)]):
            if prefix.boundary is None:
                features = self._encode(select_images(x, some), as_is=True, batch_size=STATISTICS_OF)
            else:
                features = signed_power(prefix.run_suffix(x[some], STATISTICS_OF))
        return features[:n_rows], None if weight is None else weight[some[:n_rows]]


def warn_of_epochs():
    """Warn that a frozen backbone encodes each row in each epoch because of an augmenter."""
    warn(
        "the augmenter draws again in every epoch, so the frozen backbone encodes every row in every epoch; "
        "use n_views=8 to encode eight views of each row once, or augmenter=None to encode only the row",
        FrozenPrefixNotCachedWarning,
    )


def warn_of_table(name):
    """Warn that no pretrained net exists for a table."""
    warn(
        f"{name} got rows without image_shape, and no pretrained net exists for a table: a plain net is trained from "
        "scratch. If the rows are images, set image_shape=(height, width)",
        NoPretrainedBackboneWarning,
    )
