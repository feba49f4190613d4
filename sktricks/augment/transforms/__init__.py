"""The augmenters, one module per kind of transform."""
