"""One converter for each class of estimators: its part of an ONNX graph."""

from __future__ import annotations
