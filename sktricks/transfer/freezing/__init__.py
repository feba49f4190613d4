"""Layers in execution order, and bit-exact freezing."""
