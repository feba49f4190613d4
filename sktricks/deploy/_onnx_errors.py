"""Errors of an export, and of a file that does not predict what it should."""

from __future__ import annotations


class UnsupportedForOnnxError(TypeError):
    """A step, or a setting of it, cannot be written as ONNX; nothing was written."""


class OnnxMismatchError(ValueError):
    """The graph and the estimator, or a file and the outputs that it carries, differ."""
