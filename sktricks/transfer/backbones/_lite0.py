"""lite0: EfficientNet-Lite0 (Tan & Le 2019; the Lite variants are Google's of 2020), a small net for photos."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

EPS = 1e-3  # epsilon of BatchNorm, as in TensorFlow
# For each stage: number of blocks, channels, kernel size, stride of the first block.
STAGES = [(1, 16, 3, 1), (2, 24, 3, 2), (2, 40, 5, 2), (3, 80, 3, 2), (3, 112, 5, 1), (4, 192, 5, 2), (1, 320, 3, 1)]
STEM, TOP, EXPANSION = 32, 1280, 6


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "same" padding, which pads an odd number by one more pixel at the end.

    A padded copy of the input would take as long as the convolution. Instead, the convolution pads both ends equally,
    with one stride more at the start, and its first output is dropped. The padding is computed without branches, so
    that the net can be traced for images of any size.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        height, width = (kernel - 1 - (side - 1) % stride for side in (input.shape[2], input.shape[3]))
        skip = height % 2, width % 2
        padding = height // 2 + stride * skip[0], width // 2 + stride * skip[1]
        outputs = F.conv2d(input, self.weight, self.bias, self.stride, padding, groups=self.groups)
        return outputs[:, :, skip[0] :, skip[1] :]


def convolution(n_in, n_out, kernel=1, stride=1, groups=1):
    """Return a convolution without bias; with stride 1, "same" padding is symmetric."""
    if stride == 1:
        return nn.Conv2d(n_in, n_out, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv2d(n_in, n_out, kernel, stride, groups=groups, bias=False)


def layer(*args, activate=True, **kwargs):
    """Return a convolution, a BatchNorm and, unless ``activate`` is False, a ReLU6."""
    conv = convolution(*args, **kwargs)
    parts = [conv, nn.BatchNorm2d(conv.out_channels, eps=EPS)]
    return nn.Sequential(*parts, nn.ReLU6(inplace=True)) if activate else nn.Sequential(*parts)


class InvertedResidual(nn.Module):
    """An inverted residual block: expansion, depthwise convolution, projection and shortcut (Sandler et al. 2018)."""

    def __init__(self, n_in, n_out, kernel, stride, expansion):
        super().__init__()
        width = n_in * expansion
        self.expand = layer(n_in, width) if expansion > 1 else nn.Identity()
        self.depthwise = layer(width, width, kernel, stride, groups=width)
        self.project = layer(width, n_out, activate=False)
        self.adds_input = stride == 1 and n_in == n_out

    def forward(self, x):
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds_input else y


class Lite0(nn.Module):
    """EfficientNet-Lite0 without its classifier: no squeeze-and-excitation, and ReLU6 instead of swish.

    3.4 million weights and 390 million multiplications per image of 224 x 224 pixels. Input is
    ``(n, 3, height, width)``, output ``(n, 1280)``.
    """

    # Default stages for a head: half a point more accurate on photos than only the output.
    head_stages = ("stage7", "top")

    def __init__(self):
        super().__init__()
        self.stem = layer(3, STEM, 3, 2)
        n_in = STEM
        for index, (n_blocks, n_out, kernel, stride) in enumerate(STAGES, start=1):
            expansion = EXPANSION if index > 1 else 1
            blocks = [InvertedResidual(n_in, n_out, kernel, stride, expansion)]
            blocks += [InvertedResidual(n_out, n_out, kernel, 1, expansion) for _ in range(n_blocks - 1)]
            setattr(self, f"stage{index}", nn.Sequential(*blocks))
            n_in = n_out
        self.top = layer(n_in, TOP)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x):
        x = self.stem(x)
        for index in range(1, len(STAGES) + 1):
            x = getattr(self, f"stage{index}")(x)
        return torch.flatten(self.pool(self.top(x)), 1)
