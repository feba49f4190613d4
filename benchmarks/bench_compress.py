"""Smaller and faster models: what distillation keeps of a teacher, and how much faster its student is.

``distill``: a teacher, NetClassifier() alone, and the same net as the student of the teacher: on the teacher's
probabilities (DistilledClassifier); on those of the fitted teacher for its own training rows as well ("in sample",
without a temperature); and, as the baseline, on its hard labels. The students see three times as many rows without
labels as the teacher has with labels. Accuracy and log loss are those on rows that nobody has seen.
"Gain kept"
is the part of the teacher's gain in accuracy over the net alone that the student keeps: the mean gain of the student
over the mean gain of the teacher. "Speed" is the processor time of the teacher's ``predict_proba`` on the test rows
over that of the student, the median of five runs, within the same process.

Each seed draws other rows with labels, without labels, and for the test, and starts all models anew.
"""

import time

import numpy as np
from _common import make_parser, print_table, start
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktricks import DistilledClassifier, NetClassifier, NetEnsembleClassifier, VotingClassifier


def table(seed, **params):
    return make_classification(8000, **params, random_state=seed)


def digits(seed):
    X, y = load_digits(return_X_y=True)
    return X, y


def nets(seed):
    return NetEnsembleClassifier(NetClassifier(), n_members=8, random_state=seed)


def vote(seed):
    members = [
        ("forest", RandomForestClassifier(300, random_state=seed)),
        ("trees", ExtraTreesClassifier(300, random_state=seed)),
        ("svc", make_pipeline(StandardScaler(), SVC(probability=True, random_state=seed))),
    ]
    return VotingClassifier(members, voting="soft")


HARD = {"n_features": 20, "n_informative": 12, "n_classes": 8, "n_clusters_per_class": 2, "class_sep": 0.8}
EASY = {"n_features": 20, "n_informative": 10, "n_classes": 3, "n_clusters_per_class": 3, "flip_y": 0.03}
# By name: the function of a seed that makes the rows, and how many of them have labels; thrice as many have none.
DATA = {
    "digits": (digits, 250),
    "8 classes": (lambda seed: table(seed, **HARD), 1000),
    "3 classes": (lambda seed: table(seed, **EASY), 1000),
}
TEACHERS = {"eight nets": nets, "forests and SVC": vote}


def processor_time(function, *args, repeats=5):
    """The median processor time of a call in seconds; a call that is too short is repeated."""
    function(*args)
    times = []
    for _ in range(repeats):
        n, before = 0, time.process_time()
        while time.process_time() - before < 0.05:
            function(*args)
            n += 1
        times.append((time.process_time() - before) / n)
    return float(np.median(times))


def compare(make_rows, n_labels, make_teacher, seed):
    """Accuracy and log loss of each model, temperature, agreement, and how many times as fast the student is."""
    X, y = make_rows(seed)
    order = np.random.default_rng(seed).permutation(len(X))
    known, unknown, test = np.split(order, [n_labels, 4 * n_labels])
    net, rows = NetClassifier(random_state=seed), (X[known], y[known])
    distilled = DistilledClassifier(make_teacher(seed), net).fit(*rows, X_unlabeled=X[unknown])
    teacher = distilled.teacher_
    hard = clone(net).fit(X[[*known, *unknown]], teacher.predict(X[[*known, *unknown]]))
    seen = DistilledClassifier(FrozenEstimator(teacher), net, temperature=1.0).fit(*rows, X_unlabeled=X[unknown])
    models = {"net": net.fit(*rows), "teacher": teacher, "hard labels": hard, "in sample": seen, "distilled": distilled}
    scores = {}
    for name, model in models.items():
        proba = model.predict_proba(X[test])
        scores[name] = np.mean(proba.argmax(axis=1) == y[test]), log_loss(y[test], proba)
    speed = processor_time(teacher.predict_proba, X[test]) / processor_time(distilled.predict_proba, X[test])
    return scores, distilled.temperature_, distilled.agreement_, speed


def distill(seeds, teachers):
    rows = []
    for title in teachers or TEACHERS:
        make_teacher = TEACHERS[title]
        for name, (make_rows, n_labels) in DATA.items():
            runs = [compare(make_rows, n_labels, make_teacher, seed) for seed in range(seeds)]
            means = {model: np.mean([run[0][model] for run in runs], axis=0) for model in runs[0][0]}
            base, best = means["net"][0], means["teacher"][0]
            kept = {model: (mean[0] - base) / (best - base) for model, mean in means.items()}
            cells = [f"{100 * accuracy:.1f} / {loss:.3f}" for accuracy, loss in means.values()]
            temperature, agreement, speed = (np.median([run[k] for run in runs]) for k in (1, 2, 3))
            gains = [f"{100 * kept[model]:.0f} %" for model in ("hard labels", "in sample", "distilled")]
            rows.append([title, name, *cells, *gains, f"{temperature:.2f}", f"{agreement:.2f}", f"{speed:.0f}x"])
            print("|", " | ".join(rows[-1]), flush=True)
    shown = ["net alone", "teacher", "hard labels", "in sample, T = 1", "distilled"]
    kept = [f"gain kept, {name}" for name in ("hard labels", "in sample", "distilled")]
    print_table(["teacher", "data", *shown, *kept, "temperature", "agreement", "speed"], rows)


PARTS = {"distill": distill}

if __name__ == "__main__":
    parser = make_parser(__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--teachers", nargs="*", choices=TEACHERS, help="teachers of distill (default: all)")
    arguments = parser.parse_args()
    start("Smaller and faster models", arguments.threads)
    for part in arguments.parts or PARTS:
        PARTS[part](arguments.seeds, arguments.teachers)
