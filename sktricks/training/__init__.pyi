from ._average import AverageWeights as AverageWeights
from ._curves import GradientNorms as GradientNorms
from ._net import NetClassifier as NetClassifier
from ._net import NetRegressor as NetRegressor
from ._pruning_report import PruningReport as PruningReport
from ._training_display import TrainingDisplay as TrainingDisplay
