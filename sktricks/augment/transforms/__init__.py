"""The augmenters: one file per kind of transform."""
