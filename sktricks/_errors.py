"""Errors that several subpackages raise or catch."""


class DivergenceError(ValueError):
    """The loss or the weights of a net in training are no longer finite."""
