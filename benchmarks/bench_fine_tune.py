"""Fine-tuning tiny32: FineTuneClassifier against fastai, Lightning, Hugging Face's Trainer and skorch.

All use the same pretrained net, images, number of epochs and batch size. Each peer trains the net as its documentation
shows, with a linear layer on the 256 features, by AdamW, at a learning rate of 1e-3 for the whole net and 1e-2 for only
the head, which is better for them; images are preprocessed for the peers, outside the measured time. There are two
tasks: only the head on a frozen backbone, and the whole net.

The images are scikit-learn's digits, or those of an ``.npz`` file. Peers that are not installed are skipped and listed.
"""

import contextlib
import io
import logging
import tempfile
import time
import warnings

import numpy as np
import torch
from _common import make_parser, print_table, read_arrays, start
from bench_few_shot import mean_and_error, split
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from sktricks import FineTuneClassifier, SlowFitWarning, load_backbone

JOBS = {"only the head": "linear-probe", "the whole net": "fine-tune"}
LR = {"linear-probe": 1e-2, "fine-tune": 1e-3}  # of the peers


class TinyNet(nn.Module):
    """Return tiny32 with a classifier, for the peers."""

    def __init__(self, n_classes):
        super().__init__()
        self.backbone = load_backbone("tiny32").model.train()
        self.head = nn.Linear(256, n_classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def predict(net, x):
    """Return the classes that a trained net predicts, in batches."""
    net.eval()
    with torch.inference_mode():
        return torch.cat([net(part).argmax(1) for part in x.split(256)]).numpy()


# -- the peers: each trains on (x, y) and returns a function from x to classes ---------------------------------------


def with_sktricks(data, strategy, args, seed):
    net = FineTuneClassifier("tiny32", strategy=strategy, max_epochs=args.epochs, batch_size=args.batch, cache=None)
    net.set_params(random_state=seed, device="cpu").fit(data["X"], data["y"])
    return lambda: net.predict(data["X_test"])


def with_skorch(data, strategy, args, seed):
    import skorch
    from skorch.callbacks import Freezer

    net = skorch.NeuralNetClassifier(
        TinyNet,
        module__n_classes=data["n_classes"],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LR[strategy],
        max_epochs=args.epochs,
        batch_size=args.batch,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Freezer("backbone.*")] if strategy == "linear-probe" else [],
        verbose=0,
    )
    net.fit(data["x"], data["labels"])
    return lambda: predict(net.module_, data["x_test"])


def with_lightning(data, strategy, args, seed):
    import lightning
    from lightning.pytorch.callbacks import BackboneFinetuning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            net = TinyNet(data["n_classes"])
            self.backbone, self.head = net.backbone, net.head

        def forward(self, x):
            return self.head(self.backbone(x))

        def training_step(self, batch, _):
            x, y = batch
            return F.cross_entropy(self(x), y)

        def configure_optimizers(self):
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=LR[strategy])

    module = Module()
    thaw_at = args.epochs + 1 if strategy == "linear-probe" else 1
    trainer = lightning.Trainer(
        max_epochs=args.epochs,
        callbacks=[BackboneFinetuning(thaw_at, verbose=False)],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    rows = TensorDataset(data["x"], data["labels"])
    trainer.fit(module, DataLoader(rows, batch_size=args.batch, shuffle=True))
    return lambda: predict(module, data["x_test"])


def with_transformers(data, strategy, args, seed):
    from transformers import Trainer, TrainingArguments

    class Model(TinyNet):
        def forward(self, x, labels=None):
            logits = super().forward(x)
            return logits if labels is None else {"loss": F.cross_entropy(logits, labels), "logits": logits}

    model = Model(data["n_classes"])
    if strategy == "linear-probe":
        model.backbone.requires_grad_(False)
    rows = [{"x": x, "labels": label} for x, label in zip(data["x"], data["labels"], strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=args.epochs,
            per_device_train_batch_size=args.batch,
            learning_rate=LR[strategy],
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=seed,
        )
        Trainer(model, settings, train_dataset=rows).train()
    return lambda: predict(model, data["x_test"])


def with_fastai(data, strategy, args, seed):
    from fastai.basics import DataLoaders, Learner, params
    from fastai.callback import progress, schedule  # noqa: F401, which give Learner its methods

    rows = TensorDataset(data["x"], data["labels"])
    loader = DataLoader(rows, batch_size=args.batch, shuffle=True)
    learner = Learner(
        DataLoaders(loader, loader, device=torch.device("cpu")),
        TinyNet(data["n_classes"]),
        loss_func=nn.CrossEntropyLoss(),
        splitter=lambda net: [params(net.backbone), params(net.head)],
    )
    learner._do_epoch_validate = lambda *args, **kwargs: None  # no peer validates
    with learner.no_bar(), learner.no_logging():
        if strategy == "linear-probe":
            learner.freeze()
            learner.fit_one_cycle(args.epochs, LR[strategy])
        else:
            head_lr = LR["linear-probe"]  # fine_tune: rate of the head; the backbone has 1 %
            learner.fine_tune(args.epochs - 1, 2 * head_lr, freeze_epochs=1)
    return lambda: predict(learner.model, data["x_test"])


PEERS = {
    "FineTuneClassifier": with_sktricks,
    "skorch": with_skorch,
    "Lightning": with_lightning,
    "transformers": with_transformers,
    "fastai": with_fastai,
}


# -- measuring ---------------------------------------------------------------------------------------------------------


def make_data(X, y, labels, n_test, seed):
    """Return the rows of one split, as images for sktricks and preprocessed for the peers."""
    train, test = split(y, labels, n_test, seed)
    prepare = load_backbone("tiny32").preprocess

    def ready(rows):
        images = torch.from_numpy(X[rows].astype(np.float32) / (16 if X.max() <= 16 else 255))
        return prepare(images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)).contiguous()

    return {
        "X": X[train],
        "y": y[train],
        "X_test": X[test],
        "y_test": y[test],
        "x": ready(train),
        "labels": torch.from_numpy(y[train].astype(np.int64)),
        "x_test": ready(test),
        "n_classes": len(np.unique(y)),
    }


def run(fit, data, strategy, args, seed):
    """Return the seconds of a training, and the accuracy in %."""
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        started = time.perf_counter()
        classify = fit(data, strategy, args, seed)
        seconds = time.perf_counter() - started
    return seconds, 100 * float((classify() == data["y_test"]).mean())


def installed(peers, data, args):
    """Return the installed peers, after imports and first calls."""
    able = {}
    for name in dict.fromkeys(["FineTuneClassifier", *peers]):
        few = {**data, **{key: data[key][::10] for key in ("X", "y", "x", "labels")}}
        try:
            run(PEERS[name], few, "fine-tune", args, 0)
            able[name] = PEERS[name]
        except ImportError as error:
            print(f"{name} is left out: {error}", flush=True)
    return able


def measure(job, splits, peers, args):
    seconds, scores = ({name: [] for name in peers} for _ in range(2))
    for seed, data in enumerate(splits):
        for name in peers:
            took, score = run(peers[name], data, JOBS[job], args, seed)
            seconds[name].append(took)
            scores[name].append(score)
            print(f"{job}, seed {seed}: {name} {took:.1f} s, {score:.1f} %", flush=True)
    own = np.median(seconds["FineTuneClassifier"])
    rows = []
    for name in peers:
        mean, error = mean_and_error(np.array(scores[name]))
        rows.append([name, f"{np.median(seconds[name]):.2f}", f"{np.median(seconds[name]) / own:.1f}"])
        rows[-1].append(f"{mean:.1f} ± {error:.1f}")
    print_table([f"{job}, {args.epochs} epochs", "s", "times as long", "accuracy, %"], rows)


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--images", metavar="PATH", help="an .npz file with X and y (default: scikit-learn's digits)")
    parser.add_argument("--labels", type=int, default=50, help="labels per class (default: 50)")
    parser.add_argument("--epochs", type=int, default=10, help="default: 10")
    parser.add_argument("--batch", type=int, default=64, help="batch size (default: 64)")
    parser.add_argument("--seeds", type=int, default=5, help="default: 5")
    parser.add_argument("--test-rows", type=int, default=1000, help="maximum number (default: 1000)")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), help="default: all")
    args = parser.parse_args()
    start("Fine-tuning tiny32", args.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore", SlowFitWarning)
    X, y = read_arrays(args.images) if args.images else (lambda d: (d.images, d.target))(load_digits())
    splits = [make_data(X, y, args.labels, args.test_rows, seed) for seed in range(args.seeds)]
    peers = installed(args.peers, splits[0], args)
    for job in JOBS:
        measure(job, splits, peers, args)


if __name__ == "__main__":
    main()
