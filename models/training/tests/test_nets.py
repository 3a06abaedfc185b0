import numpy as np
import pytest
import torch

from cictrain.alphabet import CLASSES
from cictrain.nets import Detector, Recogniser, fuse, macs, parameters


def test_recogniser_keeps_to_its_budget():
    net = Recogniser()
    assert parameters(net) <= 1.1e6
    assert macs(net, 1, 1, 40, 320) <= 0.28e9


def test_detector_keeps_to_its_budget():
    net = Detector()
    assert parameters(net) <= 1.5e6
    assert macs(net, 1, 1, 1280, 896) <= 3e9


@pytest.mark.parametrize("width", [32, 64, 320])
def test_recogniser_gives_a_step_for_every_four_pixels(width):
    with torch.no_grad():
        assert Recogniser().eval()(torch.ones(2, 1, 40, width)).shape == (2, width // 4, CLASSES)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 64)])
def test_detector_gives_three_maps_at_half_resolution(height, width):
    with torch.no_grad():
        maps = Detector().eval()(torch.ones(1, 1, height, width))
    assert maps.shape == (1, 3, height // 2, width // 2)
    assert 0 <= maps.min() and maps.max() <= 1


@pytest.mark.parametrize(("kind", "shape"), [(Recogniser, (2, 1, 40, 64)), (Detector, (1, 1, 64, 64))])
def test_folding_the_normalisation_changes_nothing(kind, shape):
    torch.manual_seed(0)
    net, batch = kind(), torch.rand(shape)
    with torch.no_grad():
        for _ in range(3):
            net.train()(torch.rand(shape))  # statistics that are not the identity
        before = net.eval()(batch)
        after = fuse(net)(batch)
    np.testing.assert_allclose(before, after, atol=1e-4)
