"""Estimators whose backbone may be a module of hundreds of megabytes: what a search does with it costs little."""

from __future__ import annotations

import sys

from ...training._net_params import same_with

TEMPLATES = {"_loaded", "_backbone"}  # attributes of fitted estimators that others may share


class SharesBackbone:
    """Clones have the very backbone, which ``fit`` copies and never changes; pickles have it as a parcel.

    A search clones its estimator for each fit, and sends it to another process where it has several. Copying all
    weights, or writing them out, would take longer than fitting a head.
    """

    def __sklearn_clone__(self):
        clone = super(SharesBackbone, same_with(self, backbone=None)).__sklearn_clone__()
        clone.backbone = self.backbone
        return clone

    def __getstate__(self):
        state = dict(super().__getstate__())
        if is_module(state["backbone"]):
            from ._parcel import parcel_of

            state["backbone"] = parcel_of(state["backbone"])
        for name in TEMPLATES & state.keys():
            from ._templates import own

            state[name] = own(state[name])  # others use a template meanwhile, and two copies in a pickle would be one
        return state

    def __setstate__(self, state):
        if "torch" in sys.modules:
            from ._parcel import unpacked

            state = {**state, "backbone": unpacked(state["backbone"])}
        super().__setstate__(state)


def is_module(value):
    """Whether a value is a torch module, which none is before torch is imported."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)
