"""
Pretrain table1
===============

This script trains the net for small tables. The net is trained only on synthetic tables ("worlds"), new ones for each
step, and learns to predict some rows of a table from the others (Müller et al. 2022). Worlds have 2 to 50 columns, 2 to
10 classes and 8 to 500 training rows. Their classes are functions of layers of random causes, sums of random trees,
waves and bumps of few columns, linear functions, clouds of points, or cells around points. Their columns may be skewed,
rounded, repeated, irrelevant, categorical, or have missing values. The training takes half a day on two cores::

    python examples/pretrain_table.py --out run

To resume a stopped run from its last checkpoint, repeat the command. The result is bitwise the same, since each world
depends only on the seed and the step. The learning rate rises, stays constant, and falls to zero in the last tenth of
the steps ("warmup-stable-decay", Hu et al. 2024). Therefore a run at step s can be finished early with ``--steps`` s /
0.9, or extended before the rate begins to fall; keep a copy of the checkpoint.

The script prints the loss on held-out worlds and that of a logistic regression on the same rows. At the end
``run/table1.safetensors`` holds the averaged weights in float16 and a temperature that is fitted on other worlds. To
use them, set the environment variable ``SKTRICKS_TABLE1`` to its path.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sktricks.transfer._in_context_members import mean_of_members, predict_members, read_table
from sktricks.transfer._in_context_net import InContextNet
from sktricks.transfer._in_context_rows import learn_rows, place_columns

MOST_COLUMNS, MOST_CLASSES, MOST_ROWS = 50, 10, 500
TOKENS = 5120  # total rows of all worlds per step
UNKNOWN = -1  # label of a row whose class has no training row
WARM_UP, FALL = 1000, 0.1  # steps; fraction of the steps
HELD_OUT = {20: 60, 100: 40, 500: 20}  # number of held-out worlds by their number of training rows


# -- worlds: causes ----------------------------------------------------------------------------------------------------


def chance(rng, p):
    return rng.random() < p


def log_uniform(rng, low, high):
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def log_integer(rng, low, high):
    """Draw an integer from low to high, uniform on a log scale."""
    return min(high, int(log_uniform(rng, low, high + 1)))


def standardize(x):
    return (x - x.mean(0)) / (x.std(0) + 1e-9)


def draw_noise(rng, shape):
    """Draw from a random distribution with mean 0 and variance 1, approximately."""
    kind = rng.integers(5)
    if kind == 0:
        return rng.uniform(-1.73, 1.73, shape)
    if kind == 1:
        return rng.standard_t(4, shape) / 1.41
    if kind == 2:
        return rng.exponential(1, shape) - 1
    return rng.standard_normal(shape)


def draw_causes(rng, n, n_columns):
    """Draw columns that may be correlated or clustered."""
    x = draw_noise(rng, (n, n_columns))
    if chance(rng, 0.6):  # common causes
        rank = log_integer(rng, 1, n_columns)
        common = draw_noise(rng, (n, rank)) @ rng.standard_normal((rank, n_columns)) / math.sqrt(rank)
        fraction = 1 - rng.random() ** 2
        x = math.sqrt(fraction) * common + math.sqrt(1 - fraction) * x
    if chance(rng, 0.2):  # groups of rows
        centers = rng.standard_normal((rng.integers(2, 8), n_columns)) * rng.uniform(0.5, 3)
        x = x + centers[rng.integers(len(centers), size=n)]
    return standardize(x)


def choose_relevant(rng, n_columns):
    """Draw the indices of the columns that a function depends on."""
    return rng.permutation(n_columns)[: log_integer(rng, 1, n_columns)]


GENTLE = (np.tanh, lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, x, 0.1 * x), lambda x: x)
ACTIVATIONS = (*GENTLE, *GENTLE, np.sin, np.abs, np.square, np.sign, lambda x: np.exp(-(x**2)))


# -- worlds: from columns to scores, (n, 1) to be cut into classes or (n, n_classes) of which the largest counts -------


def linear(rng, x, m):
    weights = rng.standard_normal((x.shape[1], m)) * rng.exponential(1, (x.shape[1], 1))
    scores = x @ weights
    if chance(rng, 0.3):  # products of two columns
        i, j = rng.integers(x.shape[1], size=(2, rng.integers(1, 6)))
        scores = scores + (x[:, i] * x[:, j]) @ rng.standard_normal((len(i), m)) * rng.uniform(0.3, 2)
    return scores


def waves(rng, x, m):
    """Draw from an approximate Gaussian process: random Fourier features with a length scale per column."""
    n_waves = 50
    frequencies = draw_noise(rng, (x.shape[1], n_waves)) * np.exp(rng.normal(0, 0.7, (x.shape[1], 1)))
    frequencies *= log_uniform(rng, 0.15, 1.5) / math.sqrt(x.shape[1])
    return np.cos(x @ frequencies + rng.uniform(0, 2 * math.pi, n_waves)) @ rng.standard_normal((n_waves, m))


def bumps(rng, x, m):
    n_bumps = log_integer(rng, 1, 10)
    centers = x[rng.integers(len(x), size=n_bumps)]
    distances = np.square(x[:, None] - centers).mean(-1)
    return np.exp(-distances / log_uniform(rng, 0.2, 3)) @ rng.standard_normal((n_bumps, m))


def trees(rng, x, m):
    scores, rows = np.zeros((len(x), m)), np.arange(len(x))
    deepest = rng.integers(1, 5)
    for _ in range(log_integer(rng, 1, 10)):
        depth = rng.integers(1, deepest + 1)
        column = rng.integers(x.shape[1], size=2**depth)
        threshold = x[rng.integers(len(x), size=2**depth), column]
        node = np.ones(len(x), int)
        for _ in range(depth):
            node = 2 * node + (x[rows, column[node]] > threshold[node])
        scores += rng.standard_normal((2**depth, m))[node - 2**depth]
    return scores


def cells(rng, x, m):
    """Assign each row to the nearest of some points, and return the random scores of this point."""
    points = x[rng.integers(len(x), size=log_integer(rng, 3, 20))]
    points = points + rng.normal(0, 0.3, points.shape)
    closest = np.square(x[:, None] - points).sum(-1).argmin(1)
    return rng.standard_normal((len(points), m))[closest]


FUNCTIONS = (linear, waves, bumps, trees, trees, cells)


def draw_function(rng, n, n_columns, m):
    """Draw columns, and scores that are a function of some of them, or the sum of two functions."""
    x = draw_causes(rng, n, n_columns)
    scores = 0
    for _ in range(1 + chance(rng, 0.3)):
        function = FUNCTIONS[rng.integers(len(FUNCTIONS))]
        scores = scores + standardize(function(rng, x[:, choose_relevant(rng, n_columns)], m))
    return x, scores


def draw_layers(rng, n, n_columns, m):
    """Draw columns and scores as nodes of a random net, in which each layer depends on the one before."""
    n_layers = rng.integers(2, 5)
    width = max(3, m, math.ceil((n_columns + m) / n_layers) + log_integer(rng, 1, 20))
    same = chance(rng, 0.5)  # one activation for all nodes
    kinds = np.full(width, rng.integers(len(ACTIVATIONS)))
    noise = log_uniform(rng, 0.01, 0.3) if chance(rng, 0.8) else 0
    n_roots = log_integer(rng, 1, min(16, width))  # few causes affect many columns
    layer = draw_causes(rng, n, n_roots)
    layer = standardize(layer @ rng.standard_normal((n_roots, width)) + noise * rng.standard_normal((n, width)))
    nodes = [layer]
    density = rng.uniform(0.1, 1)
    for _ in range(n_layers - 1):
        weights = rng.standard_normal((width, width)) * (rng.random((width, width)) < density)
        weights[rng.integers(width, size=width), np.arange(width)] += rng.standard_normal(width)  # at least one cause
        layer = standardize(layer @ weights) * rng.uniform(0.5, 2) + rng.normal(0, 0.5, width)
        if not same:
            kinds = rng.integers(len(ACTIVATIONS), size=width)
        for kind in np.unique(kinds):
            layer[:, kinds == kind] = ACTIVATIONS[kind](layer[:, kinds == kind])
        layer = standardize(layer) + noise * rng.standard_normal(layer.shape)
        nodes.append(layer)
    nodes = np.concatenate(nodes, 1)
    last = chance(rng, 0.5)  # scores are nodes of the last layer, or any nodes
    scores = nodes.shape[1] - width + rng.permutation(width)[:m] if last else rng.permutation(nodes.shape[1])[:m]
    others = np.setdiff1d(np.arange(nodes.shape[1]), scores)
    return nodes[:, rng.permutation(others)[:n_columns]], nodes[:, scores]


def draw_clouds(rng, n, n_columns, m):
    """Draw rows of m classes, each of which is one or a few clouds of points."""
    n_relevant = max(log_integer(rng, 1, n_columns), log_integer(rng, 1, n_columns))
    n_clouds = m * rng.integers(1, 4)
    centers = rng.standard_normal((n_clouds, n_relevant)) * log_uniform(rng, 1, 8) / n_relevant**0.25
    cloud = rng.choice(n_clouds, size=n, p=rng.dirichlet(np.full(n_clouds, log_uniform(rng, 0.7, 20))))
    spread = np.exp(rng.normal(0, 0.5, (n_clouds, 1 if chance(rng, 0.5) else n_relevant)))
    x = draw_noise(rng, (n, n_relevant)) * spread[cloud]
    if chance(rng, 0.5):  # the variance of each cloud, or of all clouds, is largest along a few directions
        rank = rng.integers(1, max(2, n_relevant // 2))
        directions = rng.standard_normal((n_clouds if chance(rng, 0.5) else 1, rank, n_relevant)) * rng.uniform(0.3, 2)
        x = x * rng.uniform(0.1, 1) + np.einsum(
            "nr,nrc->nc", rng.standard_normal((n, rank)), directions[cloud % len(directions)]
        )
    x = x + centers[cloud]
    if chance(rng, 0.5):
        x = x @ np.linalg.qr(rng.standard_normal((n_relevant, n_relevant)))[0]
    x = np.concatenate([x, draw_causes(rng, n, n_columns)[:, n_relevant:]], 1)
    return standardize(x[:, rng.permutation(n_columns)]), 1e6 * (cloud[:, None] % m == np.arange(m))


# -- worlds: from scores to classes ------------------------------------------------------------------------------------


def draw_classes(rng, scores, n_classes):
    """Return class codes from scores, with noise and flipped labels in some worlds."""
    n, m = scores.shape
    if chance(rng, 0.4):
        scores = scores + rng.uniform(0, 1) ** 2 * rng.standard_normal(scores.shape)
    if m > 1:
        y = (scores + rng.uniform(0, 1) * rng.standard_normal(m)).argmax(1)
    else:
        n_pieces = n_classes * (2 if chance(rng, 0.15) else 1)
        cuts = np.cumsum(rng.dirichlet(np.full(n_pieces, log_uniform(rng, 0.7, 20))))[:-1]
        piece = np.searchsorted(np.quantile(scores[:, 0], cuts), scores[:, 0])
        y = (rng.permutation(n_pieces) % n_classes)[piece]
    if chance(rng, 0.2):
        flipped = rng.random(n) < rng.uniform(0, 0.25)
        y = np.where(flipped, rng.integers(n_classes, size=n), y)
    return y


def number_known(rng, y, n_train):
    """Renumber the classes of training rows from 0 in random order; other classes become UNKNOWN."""
    known = rng.permutation(np.unique(y[:n_train]))
    codes = np.full(MOST_CLASSES, UNKNOWN)
    codes[known] = np.arange(len(known))
    return codes[y]


# -- worlds: defects of columns ----------------------------------------------------------------------------------------

WARPS = (
    np.exp,
    lambda x: x**3,
    lambda x: np.exp(2 * x),
    lambda x: np.sign(x) * np.sqrt(np.abs(x)),
    lambda x: np.maximum(x, np.quantile(x, 0.6)),
    lambda x: 1 / (0.1 + np.abs(x)),
    np.tanh,
    np.round,
    lambda x: np.round(2 * x),
    lambda x: (x > np.quantile(x, 0.8)).astype(float),
)


def change_columns(rng, x):
    """Make columns realistic: noisy, skewed, rounded, with outliers, repeated or irrelevant."""
    n, n_columns = x.shape
    x = x.copy()

    def some(p):
        """Return the indices of a random fraction of the columns, with probability p, or none."""
        return np.flatnonzero(rng.random(n_columns) < rng.random()) if chance(rng, p) else ()

    if chance(rng, 0.2):
        x += rng.uniform(0, 0.5) * rng.standard_normal(x.shape)
    for column in some(0.15):
        source = x[:, rng.integers(n_columns)] + (x[:, rng.integers(n_columns)] if chance(rng, 0.3) else 0)
        x[:, column] = source + rng.uniform(0, 0.5) * rng.standard_normal(n)
    for column in some(0.2):
        x[:, column] = rng.permutation(x[:, column])
    for column in some(0.45):
        x[:, column] = WARPS[rng.integers(len(WARPS))](x[:, column])
    for column in some(0.1):
        x[rng.random(n) < 0.03, column] *= rng.uniform(5, 100)
    return x


def draw_categories(rng, x):
    """Replace some columns by category codes from 1, and return the mask of these columns, too."""
    mask = np.zeros(x.shape[1], bool)
    if chance(rng, 0.3):
        mask = rng.random(x.shape[1]) < rng.random()
    for column in np.flatnonzero(mask):
        n_categories = log_integer(rng, 2, 14)
        cuts = np.sort(rng.choice(x[:, column], n_categories - 1))
        x[:, column] = 1 + rng.permutation(n_categories)[np.searchsorted(cuts, x[:, column])]
    return x, mask


def remove_numbers(rng, x, mask):
    """Replace numbers in some columns by NaN, at random or only large ones."""
    if chance(rng, 0.2):
        for column in np.flatnonzero(~mask & (rng.random(x.shape[1]) < rng.random())):
            rate = rng.beta(1, 4)
            hidden = rng.random(len(x)) < rate
            if chance(rng, 0.3):
                hidden &= x[:, column] > np.median(x[:, column])
            x[hidden, column] = np.nan
    return x


def draw_world(rng, n_train, n_new):
    """Draw a table: X in the canonical form of sktricks, its mask of categories, and y; training rows come first."""
    while True:
        n, n_columns = n_train + n_new, log_integer(rng, 2, MOST_COLUMNS)
        n_classes = 2 if chance(rng, 0.5) else log_integer(rng, 3, MOST_CLASSES)
        draw = (draw_function, draw_layers, draw_clouds)[rng.choice(3, p=[0.45, 0.35, 0.2])]
        m = n_classes if draw is draw_clouds or chance(rng, 0.5) else 1
        x, scores = draw(rng, n, n_columns, m)
        y = draw_classes(rng, scores, n_classes)
        x, mask = draw_categories(rng, change_columns(rng, x))
        x = remove_numbers(rng, x, mask)
        if len(np.unique(y[:n_train])) > 1:
            return x, mask, number_known(rng, y, n_train)


def read_world(rng, x, mask, n_train):
    """Return the rows of a world in the form of the net's inputs; drop random columns beyond the limit."""
    rows = learn_rows(x[:n_train], mask)
    order = rng.permutation(rows.n_columns)[:MOST_COLUMNS]
    return place_columns(rows.apply(x), order, MOST_COLUMNS)


def draw_batch(seed, step, n_train=None, n_worlds=None):
    """Draw the worlds of a step: x (worlds, rows, 2 * columns), y (worlds, rows), and the number of training rows."""
    rng = np.random.default_rng([seed, step])
    n_train = n_train or log_integer(rng, 8, MOST_ROWS)
    n_new = 64 + n_train // 4
    n_worlds = n_worlds or min(64, TOKENS // (n_train + n_new))
    worlds = [draw_world(rng, n_train, n_new) for _ in range(n_worlds)]
    x = torch.stack([read_world(rng, x, mask, n_train) for x, mask, _ in worlds])
    return x, torch.from_numpy(np.stack([y for _, _, y in worlds])), n_train


# -- training ----------------------------------------------------------------------------------------------------------


def find_loss(net, x, y, n_train):
    """Return the mean cross-entropy of the rows to predict, over the k codes of a table with k classes."""
    logits = net(x[:, :n_train], y[:, :n_train], x[:, n_train:]).float()
    n_classes = y[:, :n_train].amax(1) + 1
    absent = torch.arange(logits.shape[-1]) >= n_classes[:, None, None]
    return F.cross_entropy(
        logits.masked_fill(absent, -1e4).flatten(0, 1), y[:, n_train:].flatten(), ignore_index=UNKNOWN
    )


def find_rate(step, n_steps, peak):
    """Return the learning rate of a step: linear up to ``peak``, constant, and linear down to 0."""
    return peak * min(1, (step + 1) / WARM_UP, (n_steps - step) / (FALL * n_steps))


def judge_others(worlds):
    """Print the losses of the class frequencies and of a logistic regression on the same rows."""
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    def mean_loss(model, x, y, n_train):
        losses = []
        for rows, labels in zip(x.numpy(), y.numpy(), strict=True):
            model.fit(rows[:n_train], labels[:n_train])
            known = labels[n_train:] != UNKNOWN
            probabilities = model.predict_proba(rows[n_train:][known])
            losses.append(log_loss(labels[n_train:][known], probabilities, labels=model.classes_))
        return np.mean(losses)

    models = {"frequency": DummyClassifier(), "logistic": LogisticRegression(C=0.1, max_iter=200)}
    for name, model in models.items():
        print(name, *[f"{n}: {mean_loss(model, *batch):.4f}" for n, batch in worlds.items()], flush=True)


@torch.no_grad()
def judge(net, worlds):
    """Return as text the loss on held-out worlds, by the number of training rows."""
    net.eval()
    return " ".join(f"{n}: {find_loss(net, *batch):.4f}" for n, batch in worlds.items())


def find_temperature(net, seed):
    """Return the temperature that minimizes the loss of the mean of eight members on new worlds."""
    net.eval()
    temperatures = np.arange(0.6, 1.41, 0.05)
    losses = np.zeros(len(temperatures))
    for n_train, count in HELD_OUT.items():
        for world in range(count):
            x, mask, y = draw_world(np.random.default_rng([seed, n_train, world]), n_train, 64)
            table = read_table(net, x[:n_train], y[:n_train], mask, 8, world, None, torch.device("cpu"))
            logits = predict_members(net, table, x[n_train:], torch.device("cpu"), None)
            known = torch.from_numpy(y[n_train:] != UNKNOWN)
            labels = torch.from_numpy(y[n_train:])[known]
            for index, temperature in enumerate(temperatures):
                proba = mean_of_members(logits, temperature)[known]
                losses[index] += F.nll_loss(proba.log(), labels).item() if len(labels) else 0
    return float(temperatures[losses.argmin()])


def export(net, path, seed):
    """Write the weights in float16, and the temperature of predictions."""
    from safetensors.torch import save_file

    temperature = find_temperature(net, seed)
    print(f"temperature {temperature:.2f}", flush=True)
    state = {name: tensor.half().contiguous().cpu() for name, tensor in net.state_dict().items()}
    save_file(state, path, metadata={"temperature": f"{temperature:.2f}"})


def make_optimizer(net, weight_decay):
    decay = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)


def train_step(net, optimizer, batch, rate):
    for group in optimizer.param_groups:
        group["lr"] = rate
    net.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = find_loss(net, *batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def save_checkpoint(parts, step, path):
    """Write a checkpoint atomically, so that a killed run can resume."""
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step}, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def main(args):
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    net = InContextNet(n_columns=MOST_COLUMNS, n_classes=MOST_CLASSES)
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
    optimizer = make_optimizer(net, args.weight_decay)
    parts = {"net": net, "average": average, "optimizer": optimizer}
    checkpoint, step = args.out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = state["step"]
        print(f"resuming at step {step} of {args.steps}", flush=True)
    worlds = {n: draw_batch(args.seed + 1, n, n, count) for n, count in HELD_OUT.items()}
    judge_others(worlds)

    started = saved = time.perf_counter()
    losses, first = [], step
    while step < args.steps:
        batch = draw_batch(args.seed, step)
        losses.append(train_step(net, optimizer, batch, find_rate(step, args.steps, args.lr)))
        average.update_parameters(net)
        step += 1
        if step % args.judge_every == 0 or step == args.steps:
            speed = (step - first) / (time.perf_counter() - started)
            words = f"step {step:6d}  {speed:.2f} steps/s  loss {np.mean(losses):.4f}"
            print(words, " held out", judge(average, worlds), flush=True)
            losses = []
        if time.perf_counter() - saved > 60 * args.minutes or step == args.steps:
            save_checkpoint(parts, step, checkpoint)
            saved = time.perf_counter()
    export(average.module, args.out / "table1.safetensors", args.seed + 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("::")[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("run"))
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--lr", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--judge-every", type=int, default=500, help="steps between prints of the held-out loss")
    parser.add_argument("--minutes", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--threads", type=int, default=0, help="number of threads; 0: torch's default")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
