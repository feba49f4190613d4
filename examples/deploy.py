"""
Deploy
======

Export a fitted model to one ONNX file that maps raw pixels to labels. ``export_onnx`` compares the file with the model
before it writes the file. The file runs without torch: it requires only numpy and onnxruntime. ::

    pip install "sktricks[images,onnx,plot]"
    python examples/deploy.py

It takes about a minute, without network or GPU, and leaves a figure, ``deploy.png``.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktricks import FineTuneClassifier, NetClassifier, OnnxModel, VotingClassifier, export_onnx

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=600, stratify=y, random_state=0)
folder = Path(tempfile.mkdtemp())

# %%
# Train
# -----
# A pretrained net, a forest, and a vote of a small net, the forest and a logistic regression.

net = FineTuneClassifier("tiny32", image_shape=(8, 8), strategy="linear-probe", random_state=0)
forest = RandomForestClassifier(100, random_state=0)
members = [
    ("net", NetClassifier(random_state=0)),
    ("forest", forest),
    ("logistic", make_pipeline(StandardScaler(), LogisticRegression())),
]
models = {
    "pretrained net": net.fit(X_train, y_train),
    "forest": forest.fit(X_train, y_train),
    "vote": VotingClassifier(members, voting="soft").fit(X_train, y_train),
}

# %%
# Export
# ------
# ``export_onnx`` compares graph and model on the rows that you pass and on many variants of them, and writes the file
# only if the predictions agree. The report shows how close they are.

files = {name: folder / f"{name.replace(' ', '-')}.onnx" for name in models}
for name, model in models.items():
    print(export_onnx(model, files[name], X_train[:500]), end="\n\n")

# %%
# Quantized to 8 bits, the net is a quarter of the size. Separate calibration rows determine the ranges of its values,
# and the export fails if more than 2 % of the labels of the other rows change.

files["pretrained net, int8"] = folder / "net-int8.onnx"
int8 = {"quantize": "int8", "calibration_data": X_train[500:800]}
print(export_onnx(net, files["pretrained net, int8"], X_train[:500], **int8), end="\n\n")

# %%
# Serve
# -----
# Predict in a separate process, which loads neither torch nor scikit-learn.

serve = """
import sys
import numpy as np
from sktricks import OnnxModel

path, rows = sys.argv[1:]
model = OnnxModel(path)  # runs the check that is stored in the file
labels = model.predict(np.load(rows))
print("labels", labels[:10], "- loaded:", [name for name in ("torch", "sklearn") if name in sys.modules] or "neither")
"""
np.save(folder / "rows.npy", X_test)
subprocess.run([sys.executable, "-c", serve, files["pretrained net"], folder / "rows.npy"], check=True)

# %%
# Compare
# -------
# Compare accuracy, file size and the time per row, with ``predict`` of the model and with the exported file.


def milliseconds(predict, n_calls=30):
    """Return the median time of a call with one row: a different row for each call, so that no features are cached."""
    times = []
    for index in range(n_calls):
        start = time.perf_counter()
        predict(X_test[index : index + 1])
        times.append(time.perf_counter() - start)
    return 1000 * np.median(times)


exported = {name: OnnxModel(path, n_threads=1) for name, path in files.items()}
accuracy = {name: 100 * np.mean(model.predict(X_test) == y_test) for name, model in exported.items()}
megabytes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
latency = {name: milliseconds(model.predict) for name, model in exported.items()}
before = {name: milliseconds(model.predict) for name, model in models.items()}

print(f"\n{'':<22}{'accuracy':>10}{'file':>10}{'one row':>12}{'before':>12}")
for name in exported:
    slow = f"{before[name]:>9.2f} ms" if name in before else ""
    print(f"{name:<22}{accuracy[name]:>8.1f} %{megabytes[name]:>7.1f} MB{latency[name]:>9.2f} ms{slow}")

figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
for index, name in enumerate(exported):
    area = 40 + 250 * megabytes[name]
    axes.scatter(latency[name], accuracy[name], s=area, color=f"C{index}", alpha=0.8, zorder=3)
    if name in before:
        axes.scatter(before[name], accuracy[name], s=60, color=f"C{index}", marker="x")
        axes.plot([latency[name], before[name]], [accuracy[name]] * 2, color=f"C{index}", linewidth=1, alpha=0.5)
    text, away = f"{name}, {megabytes[name]:.1f} MB", 6 + np.sqrt(area) / 2
    point, beside = (latency[name], accuracy[name]), name not in before  # int8 has almost the position of its net
    offset, sides = ((-away, 0), ("right", "center")) if beside else ((0, away), ("center", "bottom"))
    axes.annotate(text, point, offset, textcoords="offset points", ha=sides[0], va=sides[1])
axes.set(xscale="log", xlabel="Time of one row (ms): ONNX file (disk, its area is the size), predict (cross)")
axes.set(ylabel="Accuracy (%)", title="Digits: accuracy, latency and size of exported models")
axes.margins(x=0.2, y=0.3)
axes.grid(alpha=0.3)
figure.savefig("deploy.png", dpi=150)
print("\nThe figure is deploy.png.")
