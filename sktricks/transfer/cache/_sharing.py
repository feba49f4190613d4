"""Estimators whose backbone may be a module of hundreds of megabytes."""

from __future__ import annotations

import sys

from ...training._net_params import same_with


class SharesBackbone:
    """Clones have the backbone itself, which ``fit`` never changes: a search makes one for each fit."""

    def __sklearn_clone__(self):
        clone = super(SharesBackbone, same_with(self, backbone=None)).__sklearn_clone__()
        clone.backbone = self.backbone
        return clone

    def __getstate__(self):
        state = dict(super().__getstate__())
        torch = sys.modules.get("torch")  # without which there is no module
        if torch is not None and isinstance(state["backbone"], torch.nn.Module):
            from ._parcel import make_parcel

            state["backbone"] = make_parcel(state["backbone"])
        return state

    def __setstate__(self, state):
        backbone = state["backbone"]  # a parcel in a shallow copy, since only pickles and deep copies open it
        super().__setstate__({**state, "backbone": getattr(backbone, "packed_module", backbone)})
