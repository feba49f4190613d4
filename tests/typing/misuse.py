"""Mistakes that a type checker must find: pyright has to report an error on every line that ends in ``# error``."""

from __future__ import annotations

import numpy as np

from sktricks import (
    AugmentedClassifier,
    ColorJitter,
    FineTuneClassifier,
    FreezeLayers,
    MixUp,
    NetClassifier,
    NetRegressor,
    PretrainedFeatures,
    RandomFlip,
    RandomRotation,
    VotingClassifier,
    diagnose,
    export_onnx,
    list_backbones,
    load,
    load_backbone,
)

X, y = np.zeros((100, 64)), np.arange(100) % 2

NetClassifier(lrr=1)  # error
NetClassifier(max_epochs="three")  # error
NetClassifier("mlp", 20)  # error
NetClassifier(early_stopping="yes")  # error
NetRegressor(label_smoothing=0.1)  # error
NetRegressor(batch_size=None)  # error
NetClassifier().fit(X)  # error
NetClassifier().fit(X, y).predict_probability(X)  # error
NetClassifier(augmenter="flip")  # error
FineTuneClassifier(freeze="head")  # error
FineTuneClassifier(n_views="8")  # error
FineTuneClassifier(image_shape="8 x 8")  # error
PretrainedFeatures(backbone=3)  # error
FreezeLayers()  # error
load_backbone(image_size=(8, 8))  # error
list_backbones(1)  # error
RandomFlip(p="half")  # error
RandomRotation(angle=15)  # error
ColorJitter(brightness="0.2")  # error
MixUp(0.2, "auto", (8, 8))  # error
AugmentedClassifier(n_copies=2)  # error
VotingClassifier()  # error
diagnose(NetClassifier())  # error
load("net.sktricks").predict_proba(X)  # error
export_onnx(NetClassifier(), "net.onnx")  # error
export_onnx(NetClassifier(), "net.onnx", X, quantize="int4")  # error
