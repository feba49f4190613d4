"""tiny32: a small residual net for 32 x 32 images, both photos and glyphs."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with BatchNorm and a shortcut (He et al. 2016)."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)
        self.norm3 = nn.BatchNorm2d(n_out)

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.norm3(self.shortcut(x)), inplace=True)


class Tiny32(nn.Module):
    """A stem at full resolution and three residual stages, each at half the resolution of the previous one.

    The widths are chosen such that an image takes no more computation than in a ResNet-18 (36 million multiplications
    at 32 x 32), and the float16 weights take less than 4 MB. Input is ``(n, 3, 32, 32)``, output ``(n, 256)``.
    """

    widths = (24, 48, 128, 256)

    def __init__(self):
        super().__init__()
        stem, *widths = self.widths
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(inplace=True))
        self.stage1 = ResidualBlock(stem, widths[0], 2)
        self.stage2 = ResidualBlock(widths[0], widths[1], 2)
        self.stage3 = ResidualBlock(widths[1], widths[2], 2)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.stage3(self.stage2(self.stage1(self.stem(x))))
        return torch.flatten(self.pool(x), 1)
