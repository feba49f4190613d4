"""Encoding photos: eager torch, our frozen backbones, and the same in bfloat16.

PretrainedFeatures without a cache encodes images of 224 pixels (tiny32: 32), tiles of scikit-learn's two sample photos,
with a net of ours, or with a net of timm as a module with random weights, whose BatchNorms have statistics of some of
the photos. Eager torch is the same module in evaluation and inference mode, called with the same images, already
normalized, with its fastest batch size, as a practitioner would write it. Our time includes the normalization. lite0
has the architecture of timm's tf_efficientnet_lite0, so compare it with the time of that net in eager torch.

The table shows processor time per image, the minimum of several rounds in which all alternate, and the largest
difference of any feature to eager torch, relative to the largest feature. bfloat16 is measured if the processor has
instructions for it.
"""

import time

import numpy as np
import torch
from _common import make_parser, print_table, start
from sklearn.datasets import load_sample_images

from sktricks import PretrainedFeatures, load_backbone
from sktricks.training._precision import computes_bfloat16

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NETS = {"tiny32": 32, "tf_efficientnet_lite0": 224, "lite0": 224, "resnet18": 224}
OWN = ("tiny32", "lite0")
BATCHES = (8, 32)  # of eager torch


def tiles(n, side):
    """Return tiles of the two photos, (n, side, side, 3)."""
    rng, photos = np.random.default_rng(0), load_sample_images().images
    corners = [(photos[k % 2], rng.integers(427 - side), rng.integers(640 - side)) for k in range(n)]
    return np.stack([photo[top : top + side, left : left + side] for photo, top, left in corners])


def normalized(images, mean, std):
    """Return normalized images for modules of torch, (n, 3, side, side)."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous() / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    return (x - mean) / std


def make_net(name, images):
    """Return a backbone, and the stages of its features."""
    if name in OWN:
        return load_backbone(name, image_shape=images.shape[1:]).eval()
    import timm

    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0)
    module(normalized(images[:16], MEAN, STD))  # in training mode: sets the statistics of BatchNorms
    return load_backbone(module.eval(), image_shape=images.shape[1:], mean=MEAN, std=STD).eval()


def encode_eagerly(backbone, x, batch):
    """Return features of normalized images, computed by eager torch."""
    with torch.inference_mode():
        return torch.cat([backbone.features(part, backbone.default_stages) for part in x.split(batch)]).numpy()


def measure(calls, rounds):
    """Return the processor time in seconds and the outputs, by name."""
    outputs, best = {name: call() for name, call in calls.items()}, dict.fromkeys(calls, np.inf)
    for _ in range(rounds):
        for name, call in calls.items():
            started = time.process_time()
            call()
            best[name] = min(best[name], time.process_time() - started)
    return best, outputs


def compare(name, n, rounds):
    """Return rows of the table: time, ratio and difference of each way."""
    images = tiles(n, NETS[name])
    backbone = make_net(name, images)
    preprocess = backbone.preprocess
    x = normalized(images, preprocess.mean or (0, 0, 0), preprocess.std or (1, 1, 1))
    calls = {
        f"eager torch, batches of {batch}": lambda batch=batch: encode_eagerly(backbone, x, batch) for batch in BATCHES
    }
    precisions = ["float32", "bfloat16"] if computes_bfloat16(torch.device("cpu")) else ["float32"]
    for precision in precisions:
        features = PretrainedFeatures(
            name if name in OWN else backbone, cache=None, precision=precision, device="cpu"
        ).fit(images)
        calls[f"ours, {precision}"] = lambda features=features: features.transform(images)
    spent, outputs = measure(calls, rounds)
    eager = min(list(calls)[: len(BATCHES)], key=spent.get)
    expected = outputs[eager]
    return [
        [
            name,
            way,
            f"{1e3 * seconds / n:.2f}",
            f"{spent[eager] / seconds:.2f}",
            f"{np.abs(outputs[way] - expected).max() / np.abs(expected).max():.1e}",
        ]
        for way, seconds in spent.items()
    ]


def main():
    parser = make_parser(__doc__)
    parser.add_argument("--images", type=int, default=32, help="photos per call (default: 32; tiny32: 8 times as many)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all alternate (default: 3)")
    parser.add_argument("--nets", nargs="+", default=[*NETS], choices=[*NETS])
    args = parser.parse_args()
    start("Encoding photos", args.threads)
    rows = []
    for name in args.nets:
        rows += compare(name, args.images * (8 if name == "tiny32" else 1), args.rounds)
    print_table(["net", "way", "ms per photo", "times as fast as eager torch", "difference"], rows)


if __name__ == "__main__":
    main()
