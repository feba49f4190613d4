"""Images per second: sktricks against albumentations, kornia, torchvision, an OpenCV loop and a numpy/scipy loop.

The chain is flip, crop, rotation by up to 15 degrees, brightness and contrast, with one draw per image. The time
includes draws, checks and conversions to and from the layout that a library requires. There are five workloads, with
one thread, all in one run. Then the script measures peak memory, each in a separate process, single operations, and
two threads. Peers that are not installed are skipped::

    pip install torch torchvision albumentations kornia opencv-python-headless
    python benchmarks/bench_augment.py

One thread is measured in processor time, which depends little on the load of the machine; two threads in wall time.
"""

import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from multiprocessing import get_context

import numpy as np
from _common import make_parser, print_table, start
from scipy import ndimage

from sktricks.augment import (
    ColorJitter,
    CutMix,
    GaussianBlur,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    RandomRotation,
    TrivialAugment,
    make_augmentation_pipeline,
)
from sktricks.augment.kernels import _kernels as kernels

rng = np.random.default_rng(0)
CLASSES = 10
labels = rng.integers(CLASSES, size=2000)  # of images that are mixed


def draw(n, side, channels, dtype):
    images = rng.random((n, side, side, channels), dtype=np.float32)
    return (images * 255).astype(np.uint8) if dtype == "uint8" else images


WORKLOADS = {  # the images and the side of the crop
    "32 x 32 x 3 uint8 to 28": (partial(draw, 2000, 32, 3, "uint8"), 28),
    "224 x 224 x 3 uint8 to 196": (partial(draw, 200, 224, 3, "uint8"), 196),
    "32 x 32 x 3 float32 to 28": (partial(draw, 2000, 32, 3, "float32"), 28),
    "224 x 224 x 3 float32 to 196": (partial(draw, 200, 224, 3, "float32"), 196),
    "28 x 28 gray float32 to 24": (partial(draw, 2000, 28, 1, "float32"), 24),
}
LIBRARIES = ("albumentations", "kornia", "torchvision")


def white(X):
    return 255 if X.dtype == np.uint8 else 1


# -- the chain ---------------------------------------------------------------------------------------------------------


def sktricks_chain(X, side, **params):
    steps = RandomFlip(), RandomCrop(side), RandomRotation(15), ColorJitter(0.2, 0.2)
    pipeline = make_augmentation_pipeline(*steps, value_range=(0, white(X)), **params).fit(X)
    return pipeline.augment


def albumentations_chain(X, side):
    import albumentations as A

    return albumentations_loop(
        A.HorizontalFlip(p=0.5),
        A.RandomCrop(side, side),
        A.Rotate(15, p=1, border_mode=0),
        A.RandomBrightnessContrast(0.2, 0.2, brightness_by_max=True, p=1),
    )


def albumentations_loop(*steps):
    import albumentations as A

    transform = A.Compose(steps)
    return lambda X: np.stack([transform(image=image)["image"] for image in X])


def torchvision_chain(X, side):
    from torchvision.transforms import InterpolationMode, v2

    return torchvision_loop(
        v2.RandomHorizontalFlip(),
        v2.RandomCrop(side),
        v2.RandomRotation(15, interpolation=InterpolationMode.BILINEAR),
        v2.ColorJitter(0.2, 0.2),
    )


def torchvision_loop(*steps):
    """Augment images one by one, since the library draws once per call."""
    import torch
    from torchvision.transforms import v2

    transform = v2.Compose(steps)

    def run(X):
        images = torch.from_numpy(X).permute(0, 3, 1, 2)
        return torch.stack([transform(image) for image in images]).permute(0, 2, 3, 1).contiguous().numpy()

    return run


def kornia_chain(X, side):
    import kornia.augmentation as K

    return kornia_batch(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomCrop((side, side)),
        K.RandomRotation(15.0, p=1.0),
        K.RandomBrightness((0.8, 1.2), p=1.0),
        K.RandomContrast((0.8, 1.2), p=1.0),
    )


def kornia_batch(*steps):
    from kornia.augmentation import AugmentationSequential

    return kornia_run(AugmentationSequential(*steps, data_keys=["input"]))


def kornia_run(transform):
    import torch

    def run(X):
        images = torch.from_numpy(X).permute(0, 3, 1, 2).to(torch.float32) / white(X)
        with torch.inference_mode():
            images = transform(images).clamp_(0, 1)
        if X.dtype == np.uint8:
            images = (images * 255).round_().to(torch.uint8)
        return images.permute(0, 2, 3, 1).contiguous().numpy()

    return run


def random_maps(n, height, side):
    """Return flip, crop and rotation of each image as one map from output to input, in x and y."""
    angle = np.deg2rad(rng.uniform(-15, 15, n))
    left, top = rng.integers(0, height - side + 1, (2, n))
    sign = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    c, cos, sin = (side - 1) / 2, np.cos(angle), np.sin(angle)
    maps = np.empty((n, 2, 3))
    maps[:, 0], maps[:, 1] = (
        np.stack([cos, -sin, c - c * cos + c * sin + left], 1),
        np.stack([sin, cos, c - c * sin - c * cos + top], 1),
    )
    maps[:, 0] *= sign[:, None]
    maps[:, 0, 2] += np.where(sign < 0, height - 1, 0)
    return maps


def recolor(image, brightness, contrast, high):
    image = image.astype(np.float32) * brightness
    mean = image.mean()
    return np.clip(mean + (image - mean) * contrast, 0, high)


def opencv_chain(X, side):
    import cv2

    flags, high = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, white(X)

    def run(X):
        out = np.empty((len(X), side, side, X.shape[3]), X.dtype)
        factors = rng.uniform(0.8, 1.2, (len(X), 2)).astype(np.float32)
        for image, new, m, (brightness, contrast) in zip(
            X, out, random_maps(len(X), X.shape[1], side), factors, strict=True
        ):
            warped = cv2.warpAffine(image, m, (side, side), flags=flags).reshape(new.shape)
            changed = recolor(warped, brightness, contrast, high)
            new[:] = np.rint(changed) if high == 255 else changed
        return out

    return run


def scipy_chain(X, side):
    high = white(X)

    def run(X):
        out = np.empty((len(X), side, side, X.shape[3]), X.dtype)
        factors = rng.uniform(0.8, 1.2, (len(X), 2)).astype(np.float32)
        for image, new, m, (brightness, contrast) in zip(
            X, out, random_maps(len(X), X.shape[1], side), factors, strict=True
        ):
            warped = np.empty(new.shape, np.float32)
            for k in range(X.shape[3]):
                channel = image[..., k].astype(np.float32)
                ndimage.affine_transform(channel, m[::-1, [1, 0]], m[::-1, 2], (side, side), warped[..., k], order=1)
            changed = recolor(warped, brightness, contrast, high)
            new[:] = np.rint(changed) if high == 255 else changed
        return out

    return run


def copy_chain(X, side):
    return lambda X: X[:, 2 : 2 + side, 2 : 2 + side].copy()


CHAINS = {
    "memory copy of the crop": (copy_chain, None),
    "sktricks": (sktricks_chain, "compiled"),
    "sktricks, numpy kernel": (sktricks_chain, "numpy"),
    "albumentations": (albumentations_chain, None),
    "kornia": (kornia_chain, None),
    "torchvision v2": (torchvision_chain, None),
    "OpenCV loop": (opencv_chain, None),
    "numpy/scipy loop": (scipy_chain, None),
}


# -- single operations -------------------------------------------------------------------------------------------------


def torchvision_mix(transform):
    """Draw one partner and one weight for the whole batch."""
    import torch
    from torchvision.transforms import v2

    def run(X):
        images, classes = torch.from_numpy(X).permute(0, 3, 1, 2), torch.from_numpy(labels[: len(X)])
        if isinstance(transform, v2.MixUp):
            mixed = transform(images.float(), classes)[0].round_().to(torch.uint8)
        else:
            mixed = transform(images, classes)[0]
        return mixed.permute(0, 2, 3, 1).contiguous().numpy()

    return run


def kornia_mix(transform):
    import torch

    return kornia_run(lambda images: transform(images, torch.from_numpy(labels[: len(images)]))[0])


def single_operations():
    """Return our augmenter, and functions that make those of the peers, by name."""
    one = {
        "copy": (None, {}),
        "flip": (RandomFlip(), {}),
        "crop": (RandomCrop(196), {}),
        "rotation": (RandomRotation(15), {}),
        "resized crop": (RandomResizedCrop(196), {}),
        "brightness, contrast": (ColorJitter(0.2, 0.2), {}),
        "color jitter": (ColorJitter(0.2, 0.2, 0.2, 0.1), {}),
        "gray": (RandomGrayscale(1.0), {}),
        "erasing": (RandomErasing(1.0), {}),
        "noise": (GaussianNoise(0.05), {}),
        "blur": (GaussianBlur((0.1, 2.0)), {}),
        "affine": (RandomAffine(), {}),
        "trivial augment": (TrivialAugment(), {}),
        "mixup": (MixUp(1.0), {}),
        "cutmix": (CutMix(), {}),
    }
    if installed("albumentations"):
        import albumentations as A

        for name, step in {
            "flip": A.HorizontalFlip(p=0.5),
            "crop": A.RandomCrop(196, 196),
            "rotation": A.Rotate(15, p=1, border_mode=0),
            "resized crop": A.RandomResizedCrop((196, 196)),
            "brightness, contrast": A.RandomBrightnessContrast(0.2, 0.2, p=1),
            "color jitter": A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.1, 0.1), p=1),
            "gray": A.ToGray(p=1),
            "erasing": A.Erasing(p=1),
            "noise": A.GaussNoise((0.05, 0.05), p=1),
            "blur": A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=1),  # kernel size from sigma
            "affine": A.Affine((0.9, 1.1), (-0.1, 0.1), rotate=(-10, 10), shear={"x": (-5, 5), "y": (0, 0)}, p=1),
        }.items():
            one[name][1]["albumentations"] = albumentations_loop(step)
    if installed("torchvision"):
        from torchvision.transforms import InterpolationMode, v2

        for name, step in {
            "flip": v2.RandomHorizontalFlip(),
            "crop": v2.RandomCrop(196),
            "rotation": v2.RandomRotation(15, interpolation=InterpolationMode.BILINEAR),
            "resized crop": v2.RandomResizedCrop(196, antialias=False),
            "brightness, contrast": v2.ColorJitter(0.2, 0.2),
            "color jitter": v2.ColorJitter(0.2, 0.2, 0.2, 0.1),
            "gray": v2.Grayscale(3),
            "erasing": v2.RandomErasing(1.0),
            "noise": v2.GaussianNoise(sigma=0.05),
            "blur": v2.GaussianBlur(13, (0.1, 2.0)),
            "affine": v2.RandomAffine(10, (0.1, 0.1), (0.9, 1.1), 5, interpolation=InterpolationMode.BILINEAR),
            "trivial augment": v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR),
        }.items():
            one[name][1]["torchvision"] = torchvision_loop(step)
        one["mixup"][1]["torchvision"] = torchvision_mix(v2.MixUp(num_classes=CLASSES))
        one["cutmix"][1]["torchvision"] = torchvision_mix(v2.CutMix(num_classes=CLASSES))
    if installed("kornia"):
        import kornia.augmentation as K
        from kornia.augmentation.auto import TrivialAugment as KorniaTrivialAugment

        for name, step in {
            "flip": K.RandomHorizontalFlip(p=0.5),
            "crop": K.RandomCrop((196, 196)),
            "rotation": K.RandomRotation(15.0, p=1.0),
            "resized crop": K.RandomResizedCrop((196, 196)),
            "brightness, contrast": K.ColorJiggle(0.2, 0.2, p=1.0),
            "color jitter": K.ColorJiggle(0.2, 0.2, 0.2, 0.1, p=1.0),
            "gray": K.RandomGrayscale(p=1.0),
            "erasing": K.RandomErasing(p=1.0),
            "noise": K.RandomGaussianNoise(std=0.05, p=1.0),
            "blur": K.RandomGaussianBlur((13, 13), (0.1, 2.0), p=1.0),
            "affine": K.RandomAffine(10.0, (0.1, 0.1), (0.9, 1.1), 5.0, p=1.0),
        }.items():
            one[name][1]["kornia"] = kornia_batch(step)
        one["trivial augment"][1]["kornia"] = kornia_run(KorniaTrivialAugment())
        one["mixup"][1]["kornia"] = kornia_mix(K.RandomMixUpV2(data_keys=["input", "class"], p=1.0))
        one["cutmix"][1]["kornia"] = kornia_mix(K.RandomCutMixV2(data_keys=["input", "class"], p=1.0))
    return one


# -- measuring ---------------------------------------------------------------------------------------------------------


def installed(name):
    return find_spec({"torchvision v2": "torchvision", "OpenCV loop": "cv2"}.get(name, name)) is not None


def available():
    needs = ("albumentations", "kornia", "torchvision v2", "OpenCV loop")
    return [name for name in CHAINS if name not in needs or installed(name)]


def choose_kernel(name, extension=kernels.compiled):
    kernels.compiled = None if name == "numpy" else extension


def rate(run, X, clock, seconds=1.5):
    """Return images per second, the best of some runs; slow chains are measured on fewer images."""
    begin = clock()
    run(X[:20])
    each = max((clock() - begin) / 20, 1e-7)
    some = X[: max(20, min(len(X), int(seconds / 3 / each)))]
    best, spent = np.inf, 0
    while spent < seconds:
        begin = clock()
        run(some)
        taken = max(clock() - begin, 1e-7)
        best, spent = min(best, taken), spent + taken
    return len(some) / best


def peak(name, workload):
    """Return the peak memory of a chain beyond the images in MB, in a separate process (Linux only)."""
    if not os.path.exists("/proc/self/clear_refs"):
        return np.nan
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(peak_here, name, workload).result()


def peak_here(name, workload):
    limit_threads(1)
    warnings.simplefilter("ignore")
    (make_images, side), (make, kernel) = WORKLOADS[workload], CHAINS[name]
    choose_kernel(kernel)
    X = make_images()
    run = make(X, side)
    run(X[:20])  # imports
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # reset the peak
    before = memory("VmRSS")
    run(X)
    return (memory("VmHWM") - before) / 1024


def memory(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def times(number):
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"


def limit_threads(threads):
    import torch

    torch.set_num_threads(threads)
    if installed("OpenCV loop"):
        import cv2

        cv2.setNumThreads(threads)
        cv2.ocl.setUseOpenCL(False)


def measure_chain(seconds):
    names = available()
    rates = {name: [] for name in names}
    for make_images, side in WORKLOADS.values():
        X = make_images()
        for name in names:
            make, kernel = CHAINS[name]
            choose_kernel(kernel)
            run = make(X, side)
            rates[name].append(rate(run, X, time.process_time, seconds))
    choose_kernel("compiled")
    header = ["images per second, one thread", *WORKLOADS]
    print_table(header, [[name, *(f"{value:,.0f}" for value in values)] for name, values in rates.items()])
    others = [name for name in names if name.split()[0] in LIBRARIES]
    best = [max((rates[name][k] for name in others), default=np.nan) for k in range(len(WORKLOADS))]
    rows = [["the best library"] + [times(a / b) for a, b in zip(rates["sktricks"], best, strict=True)]]
    for other in [name for name in names if not name.startswith(("sktricks", "memory"))]:
        rows.append([other] + [times(a / b) for a, b in zip(rates["sktricks"], rates[other], strict=True)])
    rows.append(
        ["numpy kernel over kornia"]
        + [
            times(a / b)
            for a, b in zip(rates["sktricks, numpy kernel"], rates.get("kornia", [np.nan] * 5), strict=True)
        ]
    )
    print_table(["sktricks, times as fast as", *WORKLOADS], rows)


def measure_peaks(seconds):
    rows = [[name, *(f"{peak(name, workload):.0f}" for workload in WORKLOADS)] for name in available()]
    print_table(["peak memory, MB", *WORKLOADS], rows)


def measure_threads(seconds):
    rows = []
    for name, (make_images, side) in WORKLOADS.items():
        if "224" in name:
            X = make_images()
            one, two = (rate(sktricks_chain(X, side, n_jobs=n), X, time.perf_counter, seconds) for n in (1, 2))
            rows.append([name, f"{one:,.0f}", f"{two:,.0f}", f"{two / one:.2f}"])
    print_table(["by the clock", "one thread", "two threads", "ratio"], rows)


def measure_single(seconds):
    X = draw(200, 224, 3, "uint8")
    rows = []
    copying = rate(lambda X: X.copy(), X, time.process_time, seconds)
    for name, (step, peers) in single_operations().items():
        if step is None:
            rows.append(["memory copy", f"{copying:,.0f}", "", "", ""])
            continue
        step.set_params(value_range=(0, 255), random_state=0).fit(X, labels[: len(X)])
        mixes = isinstance(step, MixUp | CutMix)
        augment = (lambda X, step=step: step.augment(X, labels[: len(X)])) if mixes else step.augment
        ours, theirs = 0.0, dict.fromkeys(peers, 0.0)
        for _ in range(2):  # alternating, so that other load affects both
            ours = max(ours, rate(augment, X, time.process_time, seconds / 2))
            for peer, run in peers.items():
                theirs[peer] = max(theirs[peer], rate(run, X, time.process_time, seconds / 2))
        best = max(theirs, key=theirs.get) if theirs else ""
        ratio = times(ours / theirs[best]) if theirs else ""
        rows.append([name, f"{ours:,.0f}", f"{theirs.get(best, np.nan):,.0f}", best, ratio])
    print_table(["224 x 224 x 3 uint8, images per second", "sktricks", "best peer", "", "times as fast"], rows)


PARTS = {"chain": measure_chain, "peaks": measure_peaks, "single": measure_single, "threads": measure_threads}


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds per measurement (default: 1.5)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    start("Augmentation", args.threads)
    print(f"kernel: {kernels.describe()}")
    limit_threads(args.threads)
    for part in args.parts:
        PARTS[part](args.seconds)


if __name__ == "__main__":
    main()
