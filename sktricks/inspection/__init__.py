"""Find a learning rate, diagnose nets, data and labels, compare estimators, and show images and predictions."""

from __future__ import annotations

from ..training._rate_curve import LearningRateCurve
from ._compare import compare
from ._comparison import Compared, Comparison
from ._comparison_display import ComparisonDisplay
from ._diagnose import diagnose
from ._duplicates import Duplicates, find_duplicates
from ._explanation_display import ExplanationDisplay
from ._findings import Diagnosis, Finding
from ._label_issues import find_label_issues
from ._label_issues_display import LabelIssuesDisplay
from ._learning_rate_display import LearningRateDisplay
from ._lr_finder import find_lr
from ._predictions_display import PredictionsDisplay
from ._show_images import show_images

__all__ = [
    "Compared",
    "Comparison",
    "ComparisonDisplay",
    "Diagnosis",
    "Duplicates",
    "ExplanationDisplay",
    "Finding",
    "LabelIssuesDisplay",
    "LearningRateCurve",
    "LearningRateDisplay",
    "PredictionsDisplay",
    "compare",
    "diagnose",
    "find_duplicates",
    "find_label_issues",
    "find_lr",
    "show_images",
]
