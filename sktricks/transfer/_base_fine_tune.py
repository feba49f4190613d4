"""What a fine-tuned net is made of, whatever it predicts: a backbone, a head, and what of them is trained when."""

from __future__ import annotations

import os
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._warnings import FrozenPrefixNotCachedWarning, NoPretrainedBackboneWarning, warn
from ..training._base_net import BaseNet
from ..training._hooks import SETTINGS
from ..training._net_params import unnamed
from ._path_columns import check_inputs
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
from .cache._feature_cache import FeatureCache, resolve_cache
from .cache._sharing import SharesBackbone

BLOCK = 1024  # images whose views are made at once


class BaseFineTune(SharesBackbone, BaseNet):
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
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "cache": [str, os.PathLike, FeatureCache, None],
    }

    @property
    def net_(self):
        """The skorch net inside."""
        from .cache._pool import mark_seen

        net = super().net_
        if self._backbone is not None:
            mark_seen(self._backbone)
        return net

    @property
    def backbone_(self):
        """The backbone, fitted to the rows unless it is frozen; None if X is a table."""
        return getattr(self.net_.module_, "backbone", None)

    @property
    def _backbone(self):
        """The backbone, which is no part of the net yet while the head of a frozen one is trained."""
        own = vars(self).get("_own_backbone")
        return getattr(self._net.module_, "backbone", None) if own is None else own

    @property
    def _boundary(self):
        """The :class:`Boundary` behind the frozen layers if values at it are computed once; else None."""
        return self._found if "_found" in vars(self) else getattr(self._net.module_, "boundary", None)

    @property
    def batch_norm_(self):
        """What trainable BatchNorms of the backbone normalise by: ``"batch"`` or ``"running"`` statistics, or None."""
        from .freezing._freeze import batch_norms, statistics_of

        backbone = self.backbone_
        return None if backbone is None else statistics_of(batch_norms(backbone.layers[self._n_frozen :]))

    @property
    def n_trainable_parameters_(self):
        """How many numbers the training changes."""
        check_is_fitted(self)
        return sum(p.numel() for p in self._net.module_.parameters() if p.requires_grad)

    def _layers(self):
        """All layers, in execution order, by the names that ``freeze_until`` takes."""
        from .freezing._layers import Layer, layers_of

        module = self.net_.module_
        if self.backbone_ is None:
            return layers_of(module, [name for name, _ in module.named_modules()])
        head = [Layer(f"head.{name}", part) for name, part in module.head.named_children()]
        return [*self.backbone_.layers, *head]

    # What a range test asks for: without phases, since the rate is for all that will be trained.
    _all_at_once, _range_test_params = False, {"_all_at_once": True}

    # -- hooks of BaseNet --------------------------------------------------------------------------------------------

    def _check_X(self, X, *, reset, **how):
        return check_inputs(self, X, reset=reset, **how)

    def _settings(self):
        defaults = TRAINING[self.strategy_]
        return {name: own if own is not None else defaults[name] for name, own in super()._settings().items()}

    def _start(self, rows, *, fresh):
        if fresh:
            self._start_anew(rows.y)

    def _start_anew(self, y):
        if self.image_shape_ is None:
            self._own_backbone, self._found, self._encoded = None, None, False
            self._thaws, self.strategy_ = False, SCRATCH
            warn_of_table(type(self).__name__)
        else:
            loaded = self._load_backbone()
            self._choose_strategy(loaded.backbone, labels_per_class(y))
            self._own_backbone = loaded.lend(frozen=True) if self._trains_head_alone else loaded.copy()
            self._find_boundary(len(y))
        if self.n_views > 1 and self.augmenter is not None and not self._encoded:
            raise ValueError(
                f"n_views={self.n_views} is for a backbone that stays frozen throughout, and conflicts with "
                f"{'FreezeLayers in callbacks' if self._thaws else f'the strategy {self.strategy_!r}'}, where the "
                "augmenter draws anew in every epoch: say n_views=1, or strategy='linear-probe'"
            )

    def _load_backbone(self):
        from ._backbone_net import check_stages
        from .cache._pool import find_loaded

        auto = isinstance(self.backbone, str) and self.backbone == "auto"
        loaded = find_loaded("tiny32" if auto else self.backbone, self.image_shape_, self._device)
        self._stages = check_stages(loaded.backbone, self.stages)
        return loaded

    @property
    def _trains_head_alone(self):
        """True if the backbone joins the net after the training: it only encodes, and no code of the user's sees it."""
        return self._encoded and self.strategy_ == LINEAR_PROBE and not self.callbacks and not self.net_params

    def _choose_strategy(self, backbone, n_labels):
        """Find what freezes, and whether each row need be encoded only once."""
        from .backbones._load_backbone import UNTRAINED
        from .freezing._freeze import FreezeLayers
        from .freezing._layers import find_boundary

        layers = backbone.layers
        n_layers = len(layers)
        if self.freeze_until in (None, "head"):
            self._n_frozen = 0 if self.freeze_until is None else n_layers
        else:
            self._n_frozen = find_boundary(layers, self.freeze_until)
        everything = self._n_frozen == n_layers
        self._thaws = any(isinstance(callback, FreezeLayers) for callback in unnamed(self.callbacks))
        at_once = self._thaws or (isinstance(self.backbone, str) and self.backbone.startswith(UNTRAINED))
        self.strategy_ = choose_strategy(self.strategy, self.freeze_until, everything, n_labels, at_once)
        if self.strategy_ == GRADUAL and self._all_at_once:
            self.strategy_ = FINE_TUNE
        self._rates = self.backbone_lr_scale, self.layer_decay
        check_rates(self.strategy_, *self._rates)
        if self.strategy_ == LINEAR_PROBE:
            self._n_frozen = n_layers
        frozen = self._n_frozen == n_layers
        self._encoded = frozen and (self.augmenter is None or self.n_views > 1) and not self._thaws
        if frozen and not self._encoded and self.augmenter is not None and self.n_views == 1:
            warn(
                "the augmenter draws anew in every epoch, so the frozen backbone encodes every row in every epoch; "
                "n_views=8 lets it encode eight views of each row once, augmenter=None the row alone",
                FrozenPrefixNotCachedWarning,
            )

    def _choose_dtype(self, n_rows):
        import torch

        super()._choose_dtype(n_rows)
        if self._own_backbone is not None and self._own_backbone.dtype == torch.float64:
            self._dtype = torch.float64

    @property
    def _may_be_exact(self):
        return self._own_backbone is None or self._encoded  # a table, or a head on frozen features

    def _find_boundary(self, n_rows):
        """What a frozen part makes of a row is computed once, where the net can be cut there and memory allows."""
        from .freezing._boundary import find_crossing

        self._found, cache = None, resolve_cache(self.cache)
        partly = self.strategy_ == FINE_TUNE and 0 < self._n_frozen < len(self._own_backbone.layers)
        if partly and cache is not None and self.augmenter is None and not self._thaws:
            found = find_crossing(self._own_backbone, self._n_frozen, self._stages, self.image_shape_)
            n_bytes = 0 if found is None else self._own_backbone.dtype.itemsize * n_rows * found.n_values
            self._found = found if n_bytes <= cache.max_bytes // 2 else None

    def _draw_views(self, shape):
        from ..augment.copies._views import mixes_rows

        super()._draw_views(shape)
        if self.augmenter is not None and self._n_fit_views and mixes_rows(self.augmenter, shape):
            raise ValueError(
                f"n_views={self.n_views} fixes the views of each row, and {type(self.augmenter).__name__} mixes rows "
                "with others: leave MixUp, CutMix and SwapNoise out, or say n_views=1"
            )

    @property
    def _n_fit_views(self):
        return self.n_views - 1 if self._encoded else 0  # besides the rows as they are

    def _read_inputs(self, X, *, fresh=False, fit=True, held_out=False, view=None):
        import torch

        if not self._encoded:
            x = super()._read_inputs(X, fresh=fresh, view=view)
            return self._cross(x, fresh) if fit and self._boundary is not None else x
        x = super()._read_inputs(X, fresh=fresh)
        how = {"cache": resolve_cache(self.cache), "fill": fit, "fresh": fresh}
        features = self._encode_view(x, view, **how)
        if fit and not held_out and self._fit_views:
            others = [self._encode_view(x, other, **how) for other in self._fit_views]
            features = torch.stack([features, *others], dim=1)
        return features if fresh else self._prepared(self._net.module_, features)

    def _encode_view(self, x, view=None, cache=None, **how):
        """The features of images as a view, or prediction, has them; without an augmenter these are as they are."""
        import torch

        from ..training._inputs import view_of

        if self.augmenter is None:
            return self._encode(x, cache, **how)
        parts = (x[start : start + BLOCK] for start in range(0, len(x), BLOCK))
        seen = (view_of(part, view, self.value_range_, self.augmenter) for part in parts)
        return torch.cat([self._encode(part, cache, **how) for part in seen])

    def _prepared(self, module, features):
        """Features as the last layer takes them."""
        import torch

        with torch.no_grad():
            return module.head.prepare(features.to(self._device)).cpu()

    def _cross(self, x, fresh):
        """What the frozen part makes of images; what comes behind it is the pretrained net's only while it is fresh."""
        from ._backbone_net import encode

        cache = resolve_cache(self.cache) if fresh else None
        return encode(self._backbone, x, self.value_range_, self._boundary, self._device, cache, fresh=fresh)

    def _encode(self, x, cache=None, **how):
        """What the head sees, of a backbone as it was loaded: one that is trained has nothing to keep."""
        from ._backbone_net import encode, signed_sqrt

        features = encode(self._backbone, x, self.value_range_, self._stages, self._device, cache, **how)
        return signed_sqrt(features)

    def _after_training(self):
        self._join()
        cache = resolve_cache(self.cache)
        if self.verbose and self._encoded and cache is not None:
            from ._backbone_net import fingerprint_of_features

            print(cache.report(fingerprint_of_features(self._backbone, self.value_range_, self._stages, self._device)))

    def _make_preparation(self, seed):
        from ..training._inputs import first_view, pick_view

        if self._encoded and self._fit_views:
            return partial(pick_view, rng=np.random.default_rng(seed)), first_view
        return super()._make_preparation(seed)

    def _preparation(self, augmenter=None, rng=None):
        from ..training._inputs import prepare_images

        if self._encoded or self.image_shape_ is None:
            return None if self._encoded else super()._preparation(augmenter, rng)
        return prepare_images(self.value_range_, augmenter, rng, self._backbone.preprocess)

    def _make_module(self, dataset, params):
        from ..training._modules import make_module
        from ._backbone_net import BackboneNet, Head

        if self._own_backbone is None:
            return make_module("mlp", dataset.x, dataset.weight, self._n_outputs, params, dtype=self._dtype)
        features, weight = self._features_to_learn_from(dataset)
        head = Head(features.shape[1], self._n_outputs).to(self._dtype)
        head.standardize.learn(features, weight)
        self._probed = features if self.strategy_ == LP_FT and dataset.y is not None else None
        return BackboneNet(None if self._trains_head_alone else self._own_backbone, head, self._stages, self._found)

    def _features_to_learn_from(self, dataset):
        """Features that tell mean and spread, and their weights: as the head will see them when training begins."""
        from ..training._inputs import STATISTICS_OF, select_images, some_rows
        from .freezing._freeze import batch_norms, batch_statistics, learns_statistics

        if dataset.x.ndim == 2 and self._found is None:
            return dataset.x, dataset.weight
        if dataset.x.ndim == 3:  # views
            n_views, weight = dataset.x.shape[1], dataset.weight
            return dataset.x.flatten(0, 1), None if weight is None else weight.repeat_interleave(n_views)
        if self.strategy_ == LP_FT:  # which trains on all of them
            return self._encode_view(dataset.x, cache=resolve_cache(self.cache), fresh=True), dataset.weight
        n_rows, some = some_rows(len(dataset))
        trained_at_once = self.strategy_ == FINE_TUNE and not self._thaws
        norms = batch_norms(self._own_backbone.layers[self._n_frozen :]) if trained_at_once else []
        batch_size = min(len(dataset), self._settings()["batch_size"])
        with batch_statistics([norm for norm in norms if learns_statistics(norm, batch_size)]):
            features = self._features(select_images(dataset.x, some), STATISTICS_OF)[:n_rows]
        return features, None if dataset.weight is None else dataset.weight[some[:n_rows]]

    def _features(self, x, at_once):
        """What the head sees of images, or of rows that have crossed the boundary."""
        from ._backbone_net import signed_sqrt

        if self._found is None:
            return self._encode_view(x, at_once=at_once)
        return signed_sqrt(self._found.go_on_by_parts(self._own_backbone, x, self._stages, self._device, at_once))

    def _trained_part(self):
        if self._encoded:
            return self._net.module_.head.linear
        return self._net.module_ if self._backbone is None else None

    def _own_callbacks(self):
        from ._probe import ProbeFirst
        from .freezing._freeze import ThawBackbone

        if self.strategy_ == LP_FT:
            features, self._probed = self._probed, None
            return [("probe_first", ProbeFirst(features, self._seed))]
        if self.strategy_ == GRADUAL:
            return [("thawing", ThawBackbone(len(self._own_backbone.layers), self._thawing()))]
        return []

    def _thawing(self):
        """When the stages thaw that ``freeze_until`` leaves to be trained."""
        from .freezing._layers import find_boundary

        layers = self._own_backbone.layers
        starts = [max(find_boundary(layers, stage), self._n_frozen) for stage in self._own_backbone.stages]
        return thawing_schedule([self._n_frozen, *starts], len(layers), self._settings()["max_epochs"])

    def _adapt_net(self, net, dataset):
        if self._encoded:
            dataset.x = self._prepared(net.module_, dataset.x)  # once for all epochs
        if self._own_backbone is None:
            del self._own_backbone, self._found
        elif not self._trains_head_alone:
            self._freeze(net)

    def _freeze(self, net):
        """Freeze layers of a backbone that is part of the net, and set the learning rates of the others."""
        from ._layer_rates import group_parameters, set_factors, stage_depths
        from .freezing._freeze import set_frozen

        backbone = self._own_backbone
        if self._rates != (1, 1):
            set_factors(backbone.layers, stage_depths(backbone.layers, backbone.stages), *self._rates)
            group_parameters(net.optimizer_, net.module_)
        set_frozen(backbone.model, backbone.layer_order, self._n_frozen, [net.optimizer_])
        del self._own_backbone, self._found

    def _join(self):
        """Make a frozen backbone part of the net, if the head was trained alone."""
        if "_own_backbone" in vars(self):
            self._net.module_.backbone = self._own_backbone
            del self._own_backbone, self._found

    def _before_epochs(self, n_rows):
        from .freezing._freeze import batch_norms, choose_statistics

        if self._backbone is not None and not self._encoded:
            choose_statistics(batch_norms(self._backbone.layers[self._n_frozen :]), min(n_rows, self._net.batch_size))

    def _build_again(self, backbone=None):
        self._own_backbone, self._found = None if backbone is None else backbone.to(self._device), None
        super()._build_again()
        self._join()

    def _blank_row(self):
        import torch

        if self._own_backbone is None:
            return super()._blank_row()
        return torch.zeros(1, self._own_backbone.count(self._stages))


def warn_of_table(name):
    """Say that nothing pretrained exists for a table."""
    warn(
        f"{name} got rows without image_shape and has nothing pretrained for a table: a plain net is trained from "
        "scratch. If the rows are images, say image_shape=(height, width)",
        NoPretrainedBackboneWarning,
    )
