"""
Pretrain tiny32
===============

This script trains the bundled backbone with one softmax over the classes of natural photos (CIFAR-100), handwritten
characters (Omniglot) and letters rendered from freely licensed fonts. The letters contain no digits, so the net can be
tested on digits as a new task. The training takes hours on two cores, or minutes on a GPU::

    python examples/pretrain_tiny32.py --cifar100 ~/data --omniglot omniglot.npz --fonts /usr/share/fonts --out run

``--cifar100`` is a folder for ``torchvision.datasets.CIFAR100`` (downloaded if missing) or an ``.npz`` file with ``X``
and ``y``; ``--omniglot`` is such a file, too. Each source is optional: letters alone take minutes. On a machine without
a GPU, ``torchrun --nproc-per-node=2`` before the script (with ``OMP_NUM_THREADS=1``) uses two cores better than two
threads do. To resume a stopped run from its last checkpoint, repeat the command. ``--weights`` starts another cycle
from the weights of an earlier one, with a new classifier.

At the end ``run/tiny32.safetensors`` holds the averaged weights in float16. To use them, set the environment variable
``SKTRICKS_TINY32`` to its path.
"""

import argparse
import io
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sktricks.transfer.backbones._tiny32 import Tiny32

SIZE, GLYPH = 32, 48  # side in pixels of the net's input, and of a glyph in memory before augmentation
MEAN, STD = 0.5, 0.25  # for the normalization of the net's input
# Letters that look the same apart from their size share a class: c and C, Latin H and Greek Eta. Letters outside the
# Latin alphabet that look like a digit (the Cyrillic ze) are left out.
LOOKS = """
A B Cc D E F G H I J Kk L M N Oo Pp Q R Ss T Uu Vv Ww Xx Y Zz a b d e f g h i j m n q r t y
Γ Δ Θ Λ Ξ Π Σ Φ Ψ Ω α β γ δ ε ζ η θ λ μ ξ π σ φ ψ ω
Б Д Ж И Й Л Ц Ш Щ Ъ Ы Э Ю Я ж л ф ц щ ы э ю я
"""
LETTERS = LOOKS.split()
ODD_FONTS = ("jsmath", "taml", "lignes", "Emoji", "Symbol", "Dingbat", "TeX")  # no letters, or with lines


# -- data ------------------------------------------------------------------------------------------------------------


def read_arrays(path):
    """Return X (n, 32, 32, 3) or (n, h, w) uint8 and y of an ``.npz`` file, whose images may be stored as JPEG."""
    with np.load(path) as file:
        y = file["y"].astype(np.int64)
        if "X" in file:
            return file["X"], y
        from PIL import Image

        jpeg, offsets = file["jpeg"].tobytes(), file["offsets"]
    images = [Image.open(io.BytesIO(jpeg[a:b])).convert("RGB") for a, b in zip(offsets[:-1], offsets[1:], strict=True)]
    return np.stack([np.asarray(image) for image in images]), y


def read_cifar100(path):
    """Return the training photos, from torchvision's folder or from an ``.npz`` file."""
    if Path(path).suffix == ".npz":
        return read_arrays(path)
    from torchvision.datasets import CIFAR100

    data = CIFAR100(path, train=True, download=True)
    return data.data, np.asarray(data.targets, dtype=np.int64)


def render_letters(folder, size=GLYPH, max_fonts=400):
    """Render ``LETTERS`` in every font of ``folder``: X (n, size, size) uint8, bright on dark, and y."""
    from PIL import Image, ImageDraw, ImageFont

    paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in {".ttf", ".otf"})
    paths = [path for path in paths if not any(word in str(path) for word in ODD_FONTS)][:max_fonts]
    X, y = [], []
    for path in paths:
        try:
            font = ImageFont.truetype(str(path), 40)
        except OSError:
            print(f"cannot read {path}")
            continue
        missing = bytes(font.getmask("\uffff"))  # type: ignore[arg-type]
        for label, letters in enumerate(LETTERS):
            for letter in letters:
                left, top, right, bottom = font.getbbox(letter)
                mask = bytes(font.getmask(letter))  # type: ignore[arg-type]
                if mask in (missing, b"") or right <= left or bottom <= top:
                    continue
                ink = Image.new("L", (round(right - left), round(bottom - top)))
                ImageDraw.Draw(ink).text((-left, -top), letter, font=font, fill=255)
                scale = (size - 8) / max(ink.size)
                ink = ink.resize([max(1, round(side * scale)) for side in ink.size], Image.Resampling.BILINEAR)
                image = Image.new("L", (size, size))
                image.paste(ink, ((size - ink.size[0]) // 2, (size - ink.size[1]) // 2))
                X.append(np.asarray(image))
                y.append(label)
    print(f"{len(X)} letters of {len(LETTERS)} classes from {len(paths)} fonts")
    return np.stack(X), np.asarray(y)


def enlarge_glyphs(X, y, size=GLYPH):
    """Crop characters to their ink and scale them to ``size``; each rotation by 90 degrees is a separate class."""
    glyphs = []
    for image in X:
        rows, columns = np.flatnonzero(image.max(1) > 60), np.flatnonzero(image.max(0) > 60)
        ink = torch.from_numpy(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32))
        scale = (size - 8) / max(ink.shape)
        shape = [max(1, round(side * scale)) for side in ink.shape]
        ink = F.interpolate(ink[None, None], shape, mode="bicubic").clamp(0, 255)[0, 0].numpy()
        top, left = (size - shape[0]) // 2, (size - shape[1]) // 2
        glyphs.append(np.zeros((size, size), np.uint8))
        glyphs[-1][top : top + shape[0], left : left + shape[1]] = ink.astype(np.uint8)
    X, n_classes = np.stack(glyphs), y.max() + 1
    return np.concatenate([np.rot90(X, k, (1, 2)) for k in range(4)]), np.concatenate(
        [y + k * n_classes for k in range(4)]
    )


# -- augmentation: batches of float tensors in 0..1, one draw per image ------------------------------------------------


def uniform(rng, n, low, high, *shape):
    return low + (high - low) * torch.rand(n, *shape, generator=rng)


def warp(x, rng, *, size, angle, shear, log_scale, log_aspect, shift, flip=0.0, wobble=0.0):
    """Apply a random affine map and smooth random displacements to each image, and resample it to ``size``."""
    n = len(x)
    angle = uniform(rng, n, -angle, angle) * math.pi / 180
    scale = torch.exp(uniform(rng, n, *log_scale))
    aspect = torch.exp(uniform(rng, n, -log_aspect, log_aspect))
    mirror = 1 - 2 * (torch.rand(n, generator=rng) < flip).float()
    cos, sin = torch.cos(angle), torch.sin(angle)
    skew = uniform(rng, n, -shear, shear)
    a, b = mirror * aspect / scale, 1 / (aspect * scale)
    theta = torch.stack(
        [
            torch.stack([cos * a, (skew * cos - sin) * b, uniform(rng, n, -shift, shift)], 1),
            torch.stack([sin * a, (skew * sin + cos) * b, uniform(rng, n, -shift, shift)], 1),
        ],
        1,
    )
    grid = F.affine_grid(theta, [n, 1, size, size], align_corners=False)
    if wobble:
        field = uniform(rng, n, -wobble, wobble, 2, 4, 4) * torch.rand(n, 1, 1, 1, generator=rng)
        grid = grid + F.interpolate(field, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection" if flip else "zeros", align_corners=False)


def coarsen(x, side):
    """Reduce images to ``side`` pixels and enlarge them again, as low-resolution images are for the net."""
    return F.interpolate(F.adaptive_avg_pool2d(x, side), size=x.shape[-2:], mode="bilinear", align_corners=False)


def augment_photos(x, rng):
    """Augment images (n, 3, 32, 32) in 0..1: flip, crop, affine map, brightness, contrast, grayscale, resolution."""
    x = warp(x, rng, size=SIZE, angle=10, shear=0.05, log_scale=(-0.1, 0.25), log_aspect=0.1, shift=0.2, flip=0.5)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * uniform(rng, len(x), 0.7, 1.3, 1, 1, 1) + mean * uniform(rng, len(x), 0.7, 1.3, 1, 1, 1)
    gray = torch.rand(len(x), generator=rng) < 0.1
    x[gray] = x[gray].mean(1, keepdim=True).expand(-1, 3, -1, -1)
    few = len(x) // 10
    x[:few] = coarsen(x[:few], int(torch.randint(12, 25, (), generator=rng)))
    return x.clamp(0, 1)


def augment_glyphs(x, rng):
    """Augment glyphs (n, 1, 48, 48) in 0..1: stroke width, affine map, blur, resolution, noise, two random colors."""
    n = len(x)
    chunks = []
    for part in x.chunk(4):
        stroke = int(torch.randint(-1, 3, (), generator=rng))
        if stroke > 0:  # thicker
            part = F.max_pool2d(part, 2 * stroke + 1, 1, stroke)
        elif stroke < 0:  # thinner
            part = part * 0.4 - 0.6 * F.max_pool2d(-part, 3, 1, 1)
        part = warp(
            part, rng, size=SIZE, angle=18, shear=0.3, log_scale=(-0.35, 0.3), log_aspect=0.25, shift=0.12, wobble=0.25
        )
        side = int(torch.randint(7, 44, (), generator=rng))
        chunks.append(coarsen(part, side) if side < 28 else part)
    x = torch.cat(chunks) * uniform(rng, n, 0.8, 1.6, 1, 1, 1)
    x = x.clamp(0, 1).expand(-1, 3, -1, -1)
    colored = (torch.rand(n, generator=rng) < 0.25).float()[:, None, None, None]
    ink = colored * torch.rand(n, 3, 1, 1, generator=rng) + (1 - colored)
    paper = colored * torch.rand(n, 3, 1, 1, generator=rng)
    x = paper + (ink - paper) * x
    noise = uniform(rng, n, 0, 0.08, 1, 1, 1) * (torch.rand(n, 1, 1, 1, generator=rng) < 0.3)
    x = x + noise * torch.randn(x.shape, generator=rng)
    invert = (torch.rand(n, generator=rng) < 0.4).float()[:, None, None, None]
    return (invert + (1 - 2 * invert) * x).clamp(0, 1)


# -- training --------------------------------------------------------------------------------------------------------


class Source:
    """Images of one kind, in an endless shuffled stream of augmented batches."""

    def __init__(self, X, y, first_class, augment, batch_size):
        X = torch.from_numpy(np.ascontiguousarray(X))
        self.X = X.permute(0, 3, 1, 2) if X.ndim == 4 else X[:, None]
        self.y = torch.from_numpy(y) + first_class
        self.augment, self.batch_size = augment, batch_size
        self.queue = torch.empty(0, dtype=torch.long)

    def draw(self, rng):
        if len(self.queue) < self.batch_size:
            self.queue = torch.cat([self.queue, torch.randperm(len(self.X), generator=rng)])
        rows, self.queue = self.queue[: self.batch_size], self.queue[self.batch_size :]
        return self.augment(self.X[rows].float() / 255, rng), self.y[rows]


def make_sources(args, n_workers):
    """Return the selected sources and their total number of classes."""
    sources, n_classes = [], 0

    def add(X, y, augment, batch_size):
        nonlocal n_classes
        sources.append(Source(X, y, n_classes, augment, batch_size // n_workers))
        n_classes += int(y.max()) + 1

    if args.cifar100:
        add(*read_cifar100(args.cifar100), augment_photos, args.photos_per_batch)
    if args.omniglot:
        add(*enlarge_glyphs(*read_arrays(args.omniglot)), augment_glyphs, args.glyphs_per_batch)
    if args.fonts:
        add(*render_letters(args.fonts), augment_glyphs, args.glyphs_per_batch)
    return sources, n_classes


def one_cycle(step, n_steps, peak, warm_up=0.15):
    """Return the learning rate of a step: linear up to ``peak``, then a cosine down to 0 (Smith & Topin 2019)."""
    done = step / n_steps
    return peak * (
        done / warm_up if done < warm_up else 0.5 + 0.5 * math.cos(math.pi * (done - warm_up) / (1 - warm_up))
    )


def accuracy(model, X, y, device):
    model.eval()
    with torch.inference_mode():
        guesses = [
            model((part.to(device).float() / 255 - MEAN) / STD)[:, :100].argmax(1).cpu()
            for part in torch.from_numpy(X).permute(0, 3, 1, 2).split(500)
        ]
    return float((torch.cat(guesses) == torch.from_numpy(y)).float().mean())


def join_workers():
    """Return the rank of this process and the number of processes that ``torchrun`` started."""
    n_workers = int(os.environ.get("WORLD_SIZE", 1))
    if n_workers > 1:
        distributed.init_process_group("gloo")
    return int(os.environ.get("RANK", 0)), n_workers


def average_gradients(model, n_workers):
    if n_workers > 1:
        flat = torch.cat([p.grad.flatten() for p in model.parameters()])
        distributed.all_reduce(flat)
        parts = (flat / n_workers).split([p.numel() for p in model.parameters()])
        for p, part in zip(model.parameters(), parts, strict=True):
            p.grad = part.view_as(p)


def export(average, path):
    """Write the averaged backbone, without its classifier, in float16."""
    from safetensors.torch import save_file

    state = {k: v for k, v in average.module[0].state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file({key: value.half().contiguous().cpu() for key, value in state.items()}, path)


def start_from(model, path):
    """Load weights that :func:`export` wrote into the backbone."""
    from safetensors.torch import load_file

    missing, unexpected = model[0].load_state_dict(
        {key: value.float() for key, value in load_file(path).items()}, strict=False
    )
    if unexpected or any(not key.endswith("num_batches_tracked") for key in missing):
        raise SystemExit(f"{path} does not hold weights of tiny32")


def main(args):
    rank, n_workers = join_workers()
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device)
    sources, n_classes = make_sources(args, n_workers)
    watch = read_arrays(args.watch) if args.watch else None
    rng = torch.Generator().manual_seed(args.seed + rank)

    model = nn.Sequential(Tiny32(), nn.Linear(Tiny32.widths[-1], n_classes))
    if args.weights:
        start_from(model, args.weights)
    model = model.to(device).to(memory_format=torch.channels_last)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    decay = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decay, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0}],
        lr=args.lr,
        momentum=0.9,
        nesterov=True,
    )
    steps_per_epoch = math.ceil(len(sources[0].X) / sources[0].batch_size / n_workers)
    n_steps, step = steps_per_epoch * args.epochs, 0
    parts = {"model": model, "average": average, "optimizer": optimizer}
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        step = state["step"]
        rng.manual_seed(args.seed + rank + n_workers * step)
        print(f"resuming at step {step} of {n_steps}")

    started, seen = time.perf_counter(), 0.0
    while step < n_steps:
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(step, n_steps, args.lr)
        batches = [source.draw(rng) for source in sources]
        x = torch.cat([x for x, _ in batches]).to(device, memory_format=torch.channels_last)
        y = torch.cat([y for _, y in batches]).to(device)
        model.train()
        with torch.autocast(device.type, torch.bfloat16):
            logits = model((x - MEAN) / STD)
        loss = F.cross_entropy(logits.float(), y, label_smoothing=args.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(model, n_workers)
        optimizer.step()
        average.update_parameters(model)
        step += 1
        seen += loss.item()
        if step % steps_per_epoch == 0 and rank == 0:
            epoch = step // steps_per_epoch
            words = f"epoch {epoch:3d}  loss {seen / steps_per_epoch:.3f}  {time.perf_counter() - started:6.0f} s"
            seen = 0.0
            if watch and (epoch % 5 == 0 or step == n_steps):
                words += f"  photos {accuracy(average, *watch, device):.4f}"
            print(words, flush=True)
            state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
            torch.save(state, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            export(average, args.out / "tiny32.safetensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("::")[0], formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cifar100", help="a torchvision folder or an .npz file")
    parser.add_argument("--omniglot", help="an .npz file with X (n, h, w), bright on dark, and y")
    parser.add_argument("--fonts", help="a folder of .ttf and .otf files")
    parser.add_argument("--watch", help="an .npz file of CIFAR-100's test photos; prints the accuracy on them")
    parser.add_argument("--weights", help="a .safetensors file with the weights of an earlier cycle")
    parser.add_argument("--out", type=Path, default=Path("run"))
    parser.add_argument("--epochs", type=int, default=80)
    parser.add_argument("--photos-per-batch", type=int, default=128)
    parser.add_argument("--glyphs-per-batch", type=int, default=32, help="for each kind of glyph")
    parser.add_argument("--lr", type=float, default=0.2, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=3e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    main(parser.parse_args())
