"""
MNIST with few labels
=====================

MNIST has 70,000 handwritten digits of 28 x 28 pixels. scikit-learn downloads them from OpenML (15 MB, once) to
``~/scikit_learn_data``. The models are trained on a few labeled digits and tested on 10,000 others. ::

    python examples/mnist.py

The net was pretrained without digits. The example takes some minutes, most of them for 100 labels per class.
"""

import sys
from urllib.error import URLError

import numpy as np
from sklearn.datasets import fetch_openml
from sklearn.svm import SVC

from sktricks import FineTuneClassifier

LABELS = (5, 10, 100)  # per class

try:
    X, y = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False)
except (URLError, OSError) as error:
    sys.exit(
        f"MNIST could not be fetched from OpenML: {error}\nThis example requires the network once. Offline, run "
        "examples/quickstart.py, which uses scikit-learn's own digits."
    )
X = X.astype(np.uint8)  # raw pixels
X_test, y_test = X[60_000:], y[60_000:]

# %%
# Both models are trained on the same rows. By default, ``FineTuneClassifier`` trains a linear probe for up to 99 labels
# per class, and from 100 on the whole net, which it thaws stage by stage.

print(f"{'labels per class':>16}{'SVC':>8}{'FineTuneClassifier':>20}")
for n_labels in LABELS:
    rows = np.concatenate([np.flatnonzero(y[:60_000] == label)[:n_labels] for label in np.unique(y)])
    models = SVC(C=10), FineTuneClassifier(image_shape=(28, 28), random_state=0)
    svc, net = (100 * model.fit(X[rows], y[rows]).score(X_test, y_test) for model in models)
    print(f"{n_labels:16}{svc:7.1f}%{net:19.1f}%", flush=True)
