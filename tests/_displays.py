"""Displays of all kinds, ready to be plotted, with long names and many of everything; nothing is fitted for them."""

import numpy as np

from sktricks import (
    AugmentationDisplay,
    ComparisonDisplay,
    EnsembleDisplay,
    ExplanationDisplay,
    LabelIssuesDisplay,
    LearningRateDisplay,
    PredictionsDisplay,
    TrainingDisplay,
)
from sktricks.inspection import Compared, Comparison
from sktricks.training._rate_curve import read_curve

MODELS = ["make_pipeline(StandardScaler(), LogisticRegression())", "FineTuneClassifier, lite0, gradual", "a", "SVC"]


def augmentation(**values):
    rng = np.random.default_rng(0)
    images = rng.random((4, 8, 8, 3))
    return AugmentationDisplay(originals=images, draws=[images[:, ::-1], images[:, :, ::-1]], **values)


def signals(**values):
    rng = np.random.default_rng(0)
    rows = rng.random((3, 1, 12, 1))
    return AugmentationDisplay(originals=rows, draws=[rows + 0.1, rows - 0.1], **values)


def training(n_epochs=12, **values):
    losses = (1 / np.arange(1, n_epochs + 1)).tolist()
    return TrainingDisplay(
        losses=losses, validation_losses=losses[::-1], scores=losses, rates=losses, frozen=[20, 20, 14, 8], **values
    )


def trainings(**values):
    rng = np.random.default_rng(0)
    losses = {name: (rng.random(40) + 3 / np.arange(1, 41)).tolist() for name in MODELS}
    return TrainingDisplay(losses=losses, validation_losses=losses, rates=losses, gradient_norms=losses, **values)


def ensemble(**values):
    rng = np.random.default_rng(0)
    n = len(MODELS)
    return EnsembleDisplay(
        names=MODELS,
        disagreement=rng.random((n, n)),
        weights=rng.random(n),
        contributions=[0.1, -0.2, 0, 0.3],
        **values,
    )


def many_members(**values):
    n = 12
    disagreement = np.random.default_rng(0).random((n, n)) ** 3
    return EnsembleDisplay(names=[f"member number {i}" for i in range(n)], disagreement=disagreement, **values)


def learning_rate(**values):
    lrs = np.logspace(-6, 0, 140)
    return LearningRateDisplay(curve=read_curve(lrs, 0.2 + 2 / (1 + 1e3 * lrs) + 3 * lrs**2), **values)


def comparison(**values):
    rng = np.random.default_rng(0)
    results = [Compared(name, 0.9 - 0.1 * i + 0.02 * rng.random(5)) for i, name in enumerate(MODELS)]
    failed = Compared("TabularNet", np.full(5, np.nan), error="ValueError: no")
    return ComparisonDisplay(comparison=Comparison([*results, failed], "neg_log_loss", 0.25), **values)


CLASSES = ["deciduous broadleaf forest", "industrial or commercial unit", "sea"]


def predictions(n=7, **values):
    rng = np.random.default_rng(0)
    truth = np.array(CLASSES)[np.arange(n) % 3]
    return PredictionsDisplay(
        rows=rng.random((n, 8, 8, 1)), truth=truth, predicted=truth[::-1], likely=np.linspace(0.3, 1, n), **values
    )


def confused(**values):
    pairs = [f"{CLASSES[0]} predicted as {CLASSES[1]}: 12"] * 4 + [f"sea predicted as {CLASSES[0]}: 2"] * 3
    return predictions(pairs=pairs, **values)


def one_pair(**values):
    return predictions(2, pairs=["sea predicted as lake: 2"] * 2, **values)


def files(**values):
    rng = np.random.default_rng(0)
    names = [f"a_rather_long_file_name_of_a_photo_{i}.jpeg" for i in range(5)]
    rows = [rng.random((6 + i, 8, 3)) for i in range(5)]
    return PredictionsDisplay(
        rows=rows, truth=["cat"] * 5, predicted=CLASSES + ["cat"] * 2, likely=np.ones(5), files=names, **values
    )


def table(**values):
    rng = np.random.default_rng(0)
    names = [f"mean concavity of the {i}th measurement (mm)" for i in range(6)]
    return PredictionsDisplay(
        rows=rng.normal(size=(6, 6)),
        truth=CLASSES * 2,
        predicted=CLASSES[:2] * 3,
        likely=np.ones(6),
        names=names,
        **values,
    )


def label_issues(**values):
    rng = np.random.default_rng(0)
    import pandas

    columns = {"is_label_issue": [True, False] * 3, "label_quality": np.linspace(0, 1, 6)}
    issues = pandas.DataFrame({**columns, "given_label": CLASSES * 2, "predicted_label": CLASSES[:2] * 3})
    return LabelIssuesDisplay(rows=rng.random((6, 8, 8, 3)), issues=issues, **values)


def explanation(**values):
    rng = np.random.default_rng(0)
    drops = {"brightest": np.ones(5), "random": np.zeros(5), "center": np.zeros(5)}
    maps, likely = rng.random((5, 4, 4)), np.ones(5)
    return ExplanationDisplay(
        images=rng.random((5, 32, 32, 3)),
        maps=maps,
        labels=np.array(CLASSES)[[0, 1, 2, 0, 1]],
        likely=likely,
        drops=drops,
        method="grad-cam",
        **values,
    )


ONE_PER_CLASS = [
    augmentation,
    training,
    ensemble,
    learning_rate,
    comparison,
    predictions,
    label_issues,
    explanation,
]
ALL = [*ONE_PER_CLASS, signals, trainings, many_members, confused, one_pair, files, table]
