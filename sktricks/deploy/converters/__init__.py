"""Converters of estimators to parts of an ONNX graph, one per class."""

from __future__ import annotations
