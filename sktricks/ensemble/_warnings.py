"""The warnings of ensembles."""


class MissingClassesWarning(UserWarning):
    """A fold trains without some of the classes, and its models cannot predict them."""


class RowsWithoutPredictionWarning(UserWarning):
    """The splitter leaves rows without an out-of-fold prediction, and nothing is learned from them."""


class SampleWeightIgnoredWarning(UserWarning):
    """Some members take no ``sample_weight`` and are fitted without it."""


class SmallToleranceWarning(UserWarning):
    """The tolerance of a cascade is too small for its rows, and no row is decided early."""
