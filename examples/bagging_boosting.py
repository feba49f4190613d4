"""
Bagging and boosting
====================

scikit-learn's own bagging and boosting wrap the nets of sktricks like any other estimator. Bagging draws rows, and
requires images as flat rows, with ``image_shape``. Boosting weights rows, and accepts images of any shape.

If one label in seven is drawn at random, the mean of nets that were trained on different rows is more robust than one
net, while boosting focuses on the rows with wrong labels. Heads on a frozen backbone share cached features: no image is
encoded twice. ::

    python examples/bagging_boosting.py

It takes half a minute, without network or GPU.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier
from sklearn.model_selection import train_test_split

from sktricks import FineTuneClassifier, NetEnsembleClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, train_size=150, stratify=y, random_state=0)
rng = np.random.default_rng(0)
noisy = np.where(rng.random(len(y)) < 1 / 7, rng.integers(10, size=len(y)), y)

head = FineTuneClassifier(image_shape=(8, 8), strategy="linear-probe", random_state=0)
models = {
    "one head": head,
    "ten heads, bagging": BaggingClassifier(head, n_estimators=10, random_state=0),
    "ten heads, boosting": AdaBoostClassifier(head, n_estimators=10, random_state=0),
    "ten heads, other seeds": NetEnsembleClassifier(head, n_members=10, random_state=0),
}

# %%
# Train on the same images with clean labels and with noisy labels.

scores = {name: [model.fit(X, labels).score(X_test, y_test) for labels in (y, noisy)] for name, model in models.items()}
print(f"{'':24}{'clean':>8}{'noisy':>8}")
for name, (clean, wrong) in scores.items():
    print(f"{name:24}{clean:8.3f}{wrong:8.3f}")
