"""Errors of exports, and of files whose predictions differ from those expected."""

from __future__ import annotations


class UnsupportedForOnnxError(TypeError):
    """A step, or one of its settings, cannot be converted to ONNX; no file was written."""


class OnnxMismatchError(ValueError):
    """A graph and its estimator, or the predictions of a file and the expected outputs in it, differ."""
