"""One user's file. Type checkers must accept every line: CI runs pyright over it."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import assert_type

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline

from sktricks import (
    AugmentationPipeline,
    AugmentedClassifier,
    Backbone,
    Batcher,
    CascadeClassifier,
    ColorJitter,
    Diagnosis,
    Duplicates,
    FeatureCache,
    FineTuneClassifier,
    FineTuneRegressor,
    FreezeLayers,
    ImageLoader,
    LabelIssuesDisplay,
    MixUp,
    NetClassifier,
    NetEnsembleClassifier,
    NetRegressor,
    OnnxClassifier,
    OnnxModel,
    OnnxRegressor,
    PretrainedFeatures,
    RandomCrop,
    RandomFlip,
    RandomRotation,
    StackingClassifier,
    TrainingDisplay,
    VotingClassifier,
    VotingRegressor,
    clear_cache,
    diagnose,
    export_onnx,
    find_duplicates,
    find_label_issues,
    find_lr,
    layer_table,
    list_backbones,
    load,
    load_backbone,
    load_onnx,
    make_augmentation_pipeline,
    read_image_folder,
    save,
    show_versions,
)

X, y = np.zeros((100, 64)), np.arange(100) % 2

# nets
net = NetClassifier(max_epochs=3, lr=1e-3, validation_fraction=KFold(5), early_stopping=True, random_state=0)
assert_type(net.fit(X, y), NetClassifier)
assert_type(net.predict(X), np.ndarray)
assert_type(net.fit(X, y, sample_weight=np.ones(100)).predict_proba(X), np.ndarray)
assert_type(net.loss_curve_, list[float])
regressor = NetRegressor("mlp", loss="huber", clip_norm=1.0).partial_fit(X, y)
assert_type(regressor, NetRegressor)

# transfer
tuned = FineTuneClassifier("tiny32", image_shape=(8, 8), strategy="linear-probe", cache=FeatureCache(Path("features")))
assert_type(tuned.fit(X, y), FineTuneClassifier)
assert_type(FineTuneRegressor(freeze_until=0.5, callbacks=[FreezeLayers("stage2")]).fit(X, y), FineTuneRegressor)
assert_type(PretrainedFeatures(image_shape=(8, 8)).fit_transform(X), np.ndarray)
assert_type(load_backbone("tiny32"), Backbone)
assert_type(list_backbones("timm:*"), list[str])
layer_table(tuned)
clear_cache()

# augmentation
augmenter = make_augmentation_pipeline(RandomFlip(), RandomRotation(10), ColorJitter(brightness=0.3))
assert_type(augmenter, AugmentationPipeline)
images = RandomCrop((6, 6), image_shape=(8, 8)).fit_transform(X)
augmented = AugmentedClassifier(LogisticRegression(), MixUp(alpha=0.4), n_copies=2).fit(X, y)

# ensembles, which compose with scikit-learn
vote = VotingClassifier([("net", net), ("line", LogisticRegression())], voting="soft", weights="greedy")
assert_type(vote.fit(X, y), VotingClassifier)
VotingRegressor([("net", regressor)], weights=[1.0]).fit(X, y)
StackingClassifier([("net", net)], LogisticRegression(), cv=3).fit(X, y)
CascadeClassifier([("line", LogisticRegression()), ("net", net)], tolerance=0.01).fit(X, y)
NetEnsembleClassifier(net, n_members=4).fit(X, y)
search = GridSearchCV(make_pipeline(ImageLoader(), net), {"netclassifier__lr": [1e-3, 1e-2]})

# inspection and files
assert_type(diagnose(net, X, y), Diagnosis)
rate: float | None = find_lr(net, X, y).suggestion
display: TrainingDisplay = TrainingDisplay.from_estimator(net)
assert_type(find_duplicates(X, split=y), Duplicates)
find_label_issues(net, X, y, cv=3, groups=y)
assert_type(LabelIssuesDisplay.from_predictions(X, y, net.predict_proba(X)), LabelIssuesDisplay)
save(net, "net.sktricks")
assert_type(load("net.sktricks"), BaseEstimator)
report = export_onnx(net, "net.onnx", X, atol=1e-6, outputs="probabilities")
difference: float = report.largest_difference
model = load_onnx("net.onnx", n_threads=1)
assert_type(model, OnnxClassifier | OnnxRegressor)
assert_type(OnnxModel("net.onnx").predict_proba(X), np.ndarray)
with Batcher(net.predict_proba, max_batch_size=16) as batcher:
    assert_type(batcher.submit(X), Future)
    waiting: int = batcher.stats()["waiting"]
folder = read_image_folder("photos")
show_versions()
