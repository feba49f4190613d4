"""A net of ResNet-18's size with random weights, and images for it."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SIZE = 32


class BasicBlock(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.downsample = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class ResNet18(nn.Module):
    """ResNet-18 as in torchvision, without its classifier (He et al. 2016)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.stages = nn.Sequential(
            *(nn.Sequential(BasicBlock(a, b, stride), BasicBlock(b, b, 1)) for a, b, stride in widths)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        return torch.flatten(self.pool(self.stages(self.stem(x))), 1)


def make_backbone():
    """Return the net with fixed random weights; BatchNorm gets its running statistics from some noise."""
    torch.manual_seed(0)
    backbone = ResNet18()
    with torch.no_grad():
        for _ in range(10):
            backbone(torch.rand(64, 3, SIZE, SIZE))
    return backbone.eval()


def make_images(n_images, n_classes=10, seed=0):
    """Draw images of classes: each has a coarse color texture, which is shifted, changed in contrast and noisy."""
    rng = np.random.default_rng(seed)
    patterns = rng.uniform(-1, 1, (n_classes, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
    y = rng.integers(n_classes, size=n_images)
    shifts = rng.integers(-3, 4, (len(y), 2))
    images = np.stack([np.roll(patterns[c], shift, (0, 1)) for c, shift in zip(y, shifts, strict=True)])
    images = images * rng.uniform(30, 90, (len(y), 1, 1, 1)) + rng.normal(128, 30, images.shape)
    return images.clip(0, 255).astype(np.uint8), y
