from ._show_versions import show_versions as show_versions
from ._validation import ImageShapeWarning as ImageShapeWarning
from ._validation import NoPretrainedBackboneWarning as NoPretrainedBackboneWarning
from ._validation import SlowFitWarning as SlowFitWarning
from ._validation import TrainingInterruptedWarning as TrainingInterruptedWarning
from .training import NetClassifier as NetClassifier
from .training import NetRegressor as NetRegressor
