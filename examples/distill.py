"""
Distill
=======

Distill a vote of forests and a support vector machine into one small net, which is nearly as accurate and many times as
fast.

The net learns mostly from the vote's predictions for unlabeled rows, which are often plentiful.
"""

import time

from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from sktricks import DistilledClassifier, NetClassifier, VotingClassifier

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=600, random_state=0)
X, y, X_unlabeled = X[:300], y[:300], X[300:]  # treat the others as unlabeled

members = [
    ("forest", RandomForestClassifier(200, random_state=0)),
    ("trees", ExtraTreesClassifier(200, random_state=0)),
    ("svc", CalibratedClassifierCV(SVC())),
]
net = NetClassifier(random_state=0)
model = DistilledClassifier(VotingClassifier(members, voting="soft"), net).fit(X, y, X_unlabeled=X_unlabeled)

for name, fitted in {"teacher": model.teacher_, "net alone": net.fit(X, y), "distilled net": model}.items():
    before = time.process_time()
    proba = fitted.predict_proba(X_test)
    seconds = time.process_time() - before
    accuracy = fitted.score(X_test, y_test)
    print(f"{name:14} accuracy {accuracy:.3f}, log loss {log_loss(y_test, proba):.3f}, {1e3 * seconds:6.1f} ms")
print(f"temperature {model.temperature_:.2f}, agreement on held-out rows {model.agreement_:.2f}")
