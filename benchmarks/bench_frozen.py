"""A head on a frozen net of ResNet-18's size: FineTuneClassifier against skorch with its Freezer.

Both train a linear head on the 512 features of the same backbone with the same random weights, for ten epochs over
2,000 images of 32 x 32, by SGD with momentum. FineTuneClassifier encodes each image once and trains the head on stored
features; skorch encodes every image in every epoch, since it does not know that the features do not change. Its Freezer
leaves BatchNorm in training mode, so the running statistics change and the accuracy is lower; a second peer also keeps
the backbone in evaluation mode, as FineTuneClassifier does.

A second table shows the time per image of the backbones tiny32 and ResNet-18, from preprocessed pixels to features, for
several batch sizes; the larger net gains more from larger batches.
"""

import statistics
import time
from functools import partial

import numpy as np
import skorch
import torch
from _common import make_parser, print_table, start
from _nets import SIZE, make_backbone, make_images
from skorch.callbacks import Freezer
from torch import nn

from sktricks import FineTuneClassifier, load_backbone

N_TRAIN, N_TEST, N_CLASSES = 2000, 1000, 10
EPOCHS, BATCH, LR, MOMENTUM = 10, 128, 1e-2, 0.9
BATCHES = (64, 128)


# -- a head on it, twice -----------------------------------------------------------------------------------------------


def with_sktricks(backbone, X, y, X_test, y_test):
    net = FineTuneClassifier(
        backbone,
        strategy="linear-probe",
        max_epochs=EPOCHS,
        batch_size=BATCH,
        optimizer="sgd",
        lr=LR,
        schedule="constant",
        cache=None,  # otherwise the second round would find the features of the first
        device="cpu",
        random_state=0,
    )
    started = time.perf_counter()
    net.fit(X, y)
    return time.perf_counter() - started, float(net.score(X_test, y_test))


class Classifier(nn.Module):
    """The backbone and head of FineTuneClassifier: square roots, standardization, and a linear layer of zeros.

    A BatchNorm standardizes, since the mean of the features is unknown before the images are encoded.
    """

    def __init__(self, backbone, evaluate=False):
        super().__init__()
        self.evaluate = evaluate
        self.backbone, self.norm, self.linear = backbone, nn.BatchNorm1d(512, affine=False), nn.Linear(512, N_CLASSES)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x):
        if self.evaluate:
            self.backbone.eval()
        features = self.backbone(x)
        return self.linear(self.norm(features / (features.abs() + 1e-3).sqrt()))


def with_skorch(backbone, X, y, X_test, y_test, evaluate=False):
    torch.manual_seed(0)
    net = skorch.NeuralNetClassifier(
        Classifier,
        module__backbone=backbone,
        module__evaluate=evaluate,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=MOMENTUM,
        lr=LR,
        max_epochs=EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Freezer("backbone.*")],
        verbose=0,
    )
    X, X_test = ((part.transpose(0, 3, 1, 2) / 255).astype(np.float32) for part in (X, X_test))
    started = time.perf_counter()
    net.fit(X, y)
    return time.perf_counter() - started, float(net.score(X_test, y_test))


FITS = {
    "FineTuneClassifier": with_sktricks,
    "skorch with Freezer": with_skorch,
    "skorch with Freezer and eval()": partial(with_skorch, evaluate=True),
}


def measure_heads(rounds):
    X, y = make_images(N_TRAIN + N_TEST, N_CLASSES)
    data = X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]
    seconds, scores = {name: [] for name in FITS}, {}
    for number in range(rounds):
        for name, fit in FITS.items():
            took, scores[name] = fit(make_backbone(), *data)
            seconds[name].append(took)
            print(f"round {number + 1} of {rounds}: {name} {took:.1f} s, accuracy {scores[name]:.3f}", flush=True)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    own = median["FineTuneClassifier"]
    rows = [[name, f"{median[name]:.2f}", f"{median[name] / own:.1f}", f"{100 * scores[name]:.1f}"] for name in median]
    print_table(["ten epochs of a head on a frozen ResNet-18", "s", "times as long", "accuracy, %"], rows)


# -- the cost per image ------------------------------------------------------------------------------------------------


@torch.no_grad()
def measure_backbones(rounds):
    shape = (SIZE, SIZE, 3)
    nets = {"tiny32": "tiny32", "ResNet-18": make_backbone()}
    nets = {name: load_backbone(spec, image_shape=shape).eval() for name, spec in nets.items()}
    images = {n: torch.rand(n, *shape).permute(0, 3, 1, 2) for n in BATCHES}  # channels last, as images are stored
    took = {(name, n): [] for n in BATCHES for name in nets}
    for number in range(rounds + 1):
        for (name, n), values in took.items():
            started = time.perf_counter()
            nets[name].features(images[n], nets[name].default_stages)
            if number:  # the first warms up
                values.append((time.perf_counter() - started) * 1000 / n)
    rows = []
    for name, net in nets.items():
        n_numbers = sum(p.numel() for p in net.parameters())
        rows.append([name, f"{n_numbers / 1e6:.2f}", *(f"{statistics.median(took[name, n]):.2f}" for n in BATCHES)])
    print_table(["ms per image", "million parameters", *(f"in batches of {n}" for n in BATCHES)], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which both alternate (default: 3)")
    parser.add_argument("--encodings", type=int, default=50, help="batches that each backbone encodes (default: 50)")
    parser.add_argument("--parts", nargs="+", choices=["heads", "backbones"], default=["heads", "backbones"])
    args = parser.parse_args()
    start("A head on a frozen net", args.threads)
    if "heads" in args.parts:
        measure_heads(args.rounds)
    if "backbones" in args.parts:
        measure_backbones(args.encodings)


if __name__ == "__main__":
    main()
