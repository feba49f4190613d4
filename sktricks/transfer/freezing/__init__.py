"""Layers of a net in execution order, and freezing that holds."""
