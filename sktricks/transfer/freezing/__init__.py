"""Layers in execution order, and freezing to the bit."""
