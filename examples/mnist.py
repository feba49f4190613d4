"""
MNIST, with few labels
======================

The real thing: 70,000 handwritten digits of 28 x 28 pixels, from OpenML through scikit-learn (15 MB, once; they stay in
``~/scikit_learn_data``). Of a few of them the labels are used, on 10,000 others the models are tested. ::

    python examples/mnist.py

No digit was in the pretraining of the net. It takes some minutes, most of them for 100 labels a class.
"""

import sys
from urllib.error import URLError

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.svm import SVC

from sktricks import FineTuneClassifier

LABELS = (5, 10, 100)  # a class

try:
    X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
except (URLError, OSError) as error:
    sys.exit(
        f"MNIST could not be fetched from OpenML: {error}\nThis example needs the network once. Offline, "
        "examples/quickstart.py does the same with scikit-learn's own digits."
    )
X = X.astype(np.uint8)  # raw pixels go in
X_test, y_test = X[60_000:], y[60_000:]

# %%
# The same rows for both models. ``FineTuneClassifier()`` has its defaults: up to 99 labels a class a linear probe, from
# 100 on the whole net, thawed stage by stage.

print(f"{'labels a class':>14}{'SVC':>8}{'FineTuneClassifier':>20}")
for n_labels in LABELS:
    rows = np.concatenate([np.flatnonzero(y[:60_000] == label)[:n_labels] for label in np.unique(y)])
    models = SVC(C=10), FineTuneClassifier(image_shape=(28, 28), random_state=0)
    svc, net = (100 * model.fit(X[rows], y[rows]).score(X_test, y_test) for model in models)
    print(f"{n_labels:14}{svc:7.1f}%{net:19.1f}%", flush=True)
