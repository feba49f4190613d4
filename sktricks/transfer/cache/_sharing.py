"""A mixin for estimators whose parameter ``backbone`` may be a module of hundreds of megabytes."""

from __future__ import annotations

import sys

from ...training._net_params import same_with


class SharesBackbone:
    """Share the backbone among clones: ``fit`` never changes it, and a search clones its estimator for each fit."""

    def __sklearn_clone__(self):
        clone = super(SharesBackbone, same_with(self, backbone=None)).__sklearn_clone__()
        clone.backbone = self.backbone
        return clone

    def __getstate__(self):
        state = dict(super().__getstate__())
        torch = sys.modules.get("torch")  # if torch is not imported, the backbone is not a module
        if torch is not None and isinstance(state["backbone"], torch.nn.Module):
            from ._parcel import make_parcel

            state["backbone"] = make_parcel(state["backbone"])
        return state

    def __setstate__(self, state):
        backbone = state["backbone"]  # still a Parcel in shallow copies, since only pickles and deep copies open it
        super().__setstate__({**state, "backbone": getattr(backbone, "packed_module", backbone)})
