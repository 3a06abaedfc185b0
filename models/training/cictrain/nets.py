"""The two networks: a U-Net that finds lines of text and rules on a page, and a CTC recogniser that reads one line.

Both are plain 3x3 and 1x1 convolutions with batch normalisation and ReLU, nearest-neighbour upsampling and additions:
what an int8 runtime or a board's NPU takes without falling back. Budgets (checked by the tests): the detector at most
1.5 M parameters and 3 GMAC for a page of 896 x 1280 px, the recogniser about 1 M parameters and 0.27 GMAC for a line of
320 px.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .alphabet import CLASSES

LINE_HEIGHT = 40  # px, height of a line given to the recogniser
TIME_STRIDE = 4  # px of a line per step of the recogniser's output
PAGE_MULTIPLE = 32  # the detector's input sides are multiples of this
MAP_STRIDE = 2  # page px per px of the detector's maps


class Conv(nn.Module):
    """Convolution, batch normalisation and, if asked for, ReLU. `fuse` folds the normalisation into the weights."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, padding=None, dilation=1, relu=True):
        super().__init__()
        kernel = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        dilation = dilation if isinstance(dilation, tuple) else (dilation, dilation)
        if padding is None:
            padding = tuple(k // 2 * d for k, d in zip(kernel, dilation))
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x):
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x

    def fuse(self):
        self.conv = nn.utils.fuse_conv_bn_eval(self.conv, self.norm)
        self.norm = nn.Identity()


class Residual(nn.Module):
    """x + f(x), f being one or more convolutions of the same width; ReLU after the addition."""

    def __init__(self, channels, convs=2, **shape):
        super().__init__()
        self.body = nn.Sequential(
            *[Conv(channels, channels, relu=number < convs - 1, **shape) for number in range(convs)]
        )

    def forward(self, x):
        return F.relu(x + self.body(x))


class Recogniser(nn.Module):
    """[N, 1, 40, W] grey, 1 = white -> [N, W / 4, CLASSES] logits."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(
            Conv(1, 32, stride=2),
            Conv(32, 48, stride=2),
            Residual(48),
            Residual(48),
            Conv(48, 96, stride=(2, 1)),
            Residual(96),
            Residual(96),
            Conv(96, 192, kernel=(LINE_HEIGHT // 8, 1), padding=(0, 0)),
        )
        # Along the line only. All in all a step sees about 2.5 em to each side: enough for a letter, its marks and its
        # neighbours, too little to learn whole names by heart.
        self.context = nn.Sequential(
            *[Residual(192, convs=1, kernel=(1, 3), dilation=(1, dilation)) for dilation in (1, 2, 4, 1)]
        )
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Conv2d(192, CLASSES, 1))

    def forward(self, lines):
        return self.head(self.context(self.image(lines))).squeeze(2).transpose(1, 2)


class Detector(nn.Module):
    """[1, 1, H, W] grey, 1 = white -> [1, 3, H / 2, W / 2] in 0..1: text cores, horizontal rules, vertical rules.

    The finest feature map is at a quarter of the page; the head writes the 2 x 2 pixels of each of its cells as
    channels, which costs a fraction of convolutions at half resolution.
    """

    def __init__(self):
        super().__init__()
        self.quarter = nn.Sequential(Conv(1, 12, stride=2), Conv(12, 20, stride=2), Residual(20, convs=1))
        self.eighth = nn.Sequential(Conv(20, 40, stride=2), Residual(40))
        self.sixteenth = nn.Sequential(Conv(40, 80, stride=2), Residual(80))
        self.thirtysecond = nn.Sequential(Conv(80, 96, stride=2), Residual(96))
        self.from_thirtysecond = Conv(96, 80, kernel=1, relu=False)
        self.from_sixteenth = Conv(80, 40, kernel=1, relu=False)
        self.from_eighth = Conv(40, 20, kernel=1, relu=False)
        self.refine_eighth = Conv(40, 40)
        self.refine_quarter = Conv(20, 20)
        self.head = nn.Sequential(nn.Conv2d(20, 3 * MAP_STRIDE**2, 3, padding=1), nn.PixelShuffle(MAP_STRIDE))

    def logits(self, image):
        quarter = self.quarter(image)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        sixteenth = F.relu(sixteenth + _twice(self.from_thirtysecond(self.thirtysecond(sixteenth))))
        eighth = self.refine_eighth(F.relu(eighth + _twice(self.from_sixteenth(sixteenth))))
        quarter = self.refine_quarter(F.relu(quarter + _twice(self.from_eighth(eighth))))
        return self.head(quarter)

    def forward(self, image):
        return torch.sigmoid(self.logits(image))


def _twice(x):
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def fuse(net: nn.Module) -> nn.Module:
    """Folds every batch normalisation into its convolution, in place; `net` must be in evaluation mode."""
    for module in net.modules():
        if isinstance(module, Conv):
            module.fuse()
    return net


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def macs(net: nn.Module, *shape: int) -> int:
    """Multiplications of the convolutions for one input of `shape`."""
    total = 0

    def count(conv, _, output):
        nonlocal total
        total += output.numel() * conv.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        net.eval()(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return total
