"""Planted label errors (compared with cleanlab on the same probabilities), the gain of corrections, and duplicates.

Data are ``.npz`` files with images and labels, or folders of photos with one subfolder per class; digits by default::

    pip install "cleanlab>=2.9"
    python benchmarks/bench_label_issues.py [FILE.npz | FOLDER] ... --part errors
    python benchmarks/bench_label_issues.py [FILE.npz | FOLDER] ... --part duplicates

``errors``: 10 and 20 % of the labels are replaced, by any other class (symmetric) or by the next one (class-dependent).
The classifier is logistic regression on the features of a pretrained net, or on the pixels of digits. Average precision
and precision among the 50 most suspicious rows are means over seeds. Then the 5 % most suspicious labels of the
training rows, or a random 5 %, are corrected, and the accuracy is measured on clean held-out rows.

``duplicates``: a tenth of the images is copied, in each of several ways. Recall is the fraction of the copies that are
in a group with their original; precision is that of the pairs with a copy. Pairs of originals are counted separately,
since some data sets contain duplicates.
"""

import io
import time
from pathlib import Path

import numpy as np
from _common import make_parser, print_table, read_arrays, start

RATES, KINDS = (0.1, 0.2), ("symmetric", "class-dependent")
CORRECTED, TOP = 0.05, 50
IMAGE_FILES = {".jpg", ".jpeg", ".png"}


# -- data --------------------------------------------------------------------------------------------------------------


def read_data(name, n_rows):
    """Return images, an array or a list of files, and labels as codes; at most ``n_rows`` of them."""
    if name == "digits":
        from sklearn.datasets import load_digits

        bunch = load_digits()
        X, y = (bunch.images * 15).astype(np.uint8), bunch.target
    elif Path(name).is_dir():
        files = sorted(path for path in Path(name).glob("*/*") if path.suffix.lower() in IMAGE_FILES)
        X = np.array([path.read_bytes() for path in files] + [None], dtype=object)[:-1]
        y = np.unique([path.parent.name for path in files], return_inverse=True)[1]
    else:
        X, y = read_arrays(name)
        y = np.unique(y, return_inverse=True)[1]
    rows = np.random.default_rng(0).permutation(len(y))[:n_rows]
    return X[rows], y[rows]


def encode(name, X):
    """Return the features of images: pixels of digits, otherwise those of a pretrained net."""
    if name == "digits":
        return X.reshape(len(X), -1) / 240
    from sktricks import PretrainedFeatures

    return PretrainedFeatures().fit_transform(X)


# -- errors ------------------------------------------------------------------------------------------------------------


def plant_errors(y, rate, kind, rng):
    """Return labels of which a fraction is replaced."""
    n_classes, wrong = y.max() + 1, rng.permutation(len(y))[: round(rate * len(y))]
    steps = rng.integers(1, n_classes, len(wrong)) if kind == "symmetric" else 1
    y = y.copy()
    y[wrong] = (y[wrong] + steps) % n_classes
    return y


def make_classifier():
    """Return a classifier of features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=100))


def measure_errors(features, y, rate, kind, seed):
    """Return the scores of one seed as a dict."""
    from cleanlab.filter import find_label_issues as find_by_cleanlab
    from cleanlab.rank import get_label_quality_scores
    from sklearn.metrics import average_precision_score
    from sklearn.model_selection import cross_val_predict

    from sktricks import find_label_issues

    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    train, test = order[len(y) // 4 :], order[: len(y) // 4]
    given = plant_errors(y[train], rate, kind, rng)
    wrong = given != y[train]
    proba = cross_val_predict(make_classifier(), features[train], given, cv=5, method="predict_proba")
    issues = find_label_issues(None, None, given, pred_probs=proba)
    ours, theirs = issues.label_quality.to_numpy(), get_label_quality_scores(given, proba)
    flagged, their_flagged = issues.is_label_issue.to_numpy(), find_by_cleanlab(given, proba)
    found = {"ap": average_precision_score(wrong, -ours), "their_ap": average_precision_score(wrong, -theirs)}
    for name, quality in (("top", ours), ("their_top", theirs)):
        found[name] = wrong[np.argsort(quality, kind="stable")[:TOP]].mean()
    for name, flags in (("", flagged), ("their_", their_flagged)):
        found |= {f"{name}precision": wrong[flags].mean(), f"{name}recall": flags[wrong].mean()}
    n = round(CORRECTED * len(train))
    choices = {"none": [], "random": rng.permutation(len(train))[:n], "suspicious": np.argsort(ours, kind="stable")[:n]}
    for name, rows in choices.items():
        labels = given.copy()
        labels[rows] = y[train][rows]
        found[name] = make_classifier().fit(features[train], labels).score(features[test], y[test])
    return found


def bench_errors(names, n_rows, n_seeds):
    """Print tables of label errors."""
    table, gains = [], []
    for name in names:
        X, y = read_data(name, n_rows)
        features = encode(name, X)
        for kind in KINDS:
            for rate in RATES:
                runs = [measure_errors(features, y, rate, kind, seed) for seed in range(n_seeds)]
                mean = {key: np.mean([run[key] for run in runs]) for key in runs[0]}
                cells = [
                    f"{mean[key]:.3f} / {mean['their_' + key]:.3f}" for key in ("ap", "top", "precision", "recall")
                ]
                table.append([Path(name).stem, kind, f"{rate:.0%}", *cells])
                gain = np.array([run["suspicious"] - run["random"] for run in runs])
                error = gain.std(ddof=1) / np.sqrt(n_seeds) if n_seeds > 1 else np.nan
                cells = [f"{mean[key]:.3f}" for key in ("none", "random", "suspicious")]
                gains.append([Path(name).stem, kind, f"{rate:.0%}", *cells, f"{gain.mean():+.4f} ± {error:.4f}"])
    print("sktricks / cleanlab:")
    header = ["data", "errors", "rate", "average precision", f"precision of the top {TOP}"]
    print_table([*header, "precision of issues", "recall of issues"], table)
    print(f"accuracy on clean rows after correcting {CORRECTED:.0%} of the labels:")
    print_table(["data", "errors", "rate", "none", "random", "suspicious", "suspicious - random"], gains)


# -- duplicates --------------------------------------------------------------------------------------------------------


def copy_image(image, kind, rng):
    """Return a copy of a Pillow image."""
    from PIL import Image

    if kind.startswith("jpeg"):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=50 if kind == "jpeg 50" else int(rng.integers(50, 96)))
        return Image.open(file)
    factor = {"half": 0.5, "double": 2.0}.get(kind) or np.exp(rng.uniform(np.log(0.5), np.log(2)))
    how = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS][rng.integers(3)]
    return image.resize([max(2, round(side * factor)) for side in image.size], how)


def plant_copies(X, rows, kind, rng):
    """Return X with copies of some rows below."""
    from PIL import Image

    if kind == "exact":
        return np.concatenate([X, X[rows]])
    copies = []
    for row in rows:
        is_file = isinstance(X[row], bytes)
        image = Image.open(io.BytesIO(X[row])).convert("RGB") if is_file else Image.fromarray(X[row])
        copy = copy_image(image, kind, rng)
        if is_file:  # a JPEG that was decoded is saved again, in the quality of a camera if it was resized
            file = io.BytesIO()
            copy.save(file, "JPEG", quality="keep" if kind.startswith("jpeg") else 92)
            copies.append(file.getvalue())
        else:
            copies.append(np.asarray(copy.resize(image.size, Image.Resampling.BILINEAR)))
    if X.dtype == object:
        return np.array([*X, *copies, None], dtype=object)[:-1]
    return np.concatenate([X, np.stack(copies)])


def bench_duplicates(names, n_rows):
    """Print a table of planted duplicates."""
    from sktricks import find_duplicates

    table = []
    for name in names:
        X, _ = read_data(name, n_rows)
        rng = np.random.default_rng(1)
        n, rows = len(X), rng.permutation(len(X))[: len(X) // 10]
        begun = time.process_time()
        own = find_duplicates(X)
        seconds = time.process_time() - begun
        origins = np.append(own.groups, own.groups[rows])  # duplicates in the data set itself are no errors
        for kind in ("exact", "jpeg 50", "jpeg 50-95", "half", "double", "0.5-2"):
            found = find_duplicates(plant_copies(X, rows, kind, rng))
            recall = (found.groups[n:] == found.groups[rows]).mean()
            right = (origins[found.pairs[:, 0]] == origins[found.pairs[:, 1]])[found.pairs[:, 1] >= n]
            table.append([Path(name).stem, n, kind, f"{recall:.3f}", f"{right.mean() if len(right) else 1:.3f}"])
        table[-6] += [len(own.pairs), f"{seconds:.1f} s"]
    rows = [row + [""] * (7 - len(row)) for row in table]
    print_table(["data", "images", "copies", "recall", "precision", "pairs of originals", "processor time"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("data", nargs="*", default=["digits"], help=".npz files, folders of photos, or digits")
    parser.add_argument("--part", choices=["errors", "duplicates"], default="errors")
    parser.add_argument("--rows", type=int, default=2000, help="rows per data set (default: 2000)")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    start(f"Label issues: {arguments.part}", arguments.threads)
    if arguments.part == "errors":
        bench_errors(arguments.data, arguments.rows, arguments.seeds)
    else:
        bench_duplicates(arguments.data, arguments.rows)


if __name__ == "__main__":
    main()
