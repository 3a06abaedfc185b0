"""Exported and quantised models against the networks they come from, with random weights and drawn strokes."""

import numpy as np
import onnx
import pytest
import torch

from cictrain import export, quantise
from cictrain.alphabet import ALPHABET, CLASSES
from cictrain.nets import Detector, Recogniser

NETS = {"detector": Detector, "recogniser": Recogniser}
SHAPES = {"detector": (1, 1, 64, 96), "recogniser": (4, 1, 40, 128)}


def strokes(shape, seed):
    """White with dark bars: an input with the statistics of print."""
    rng = np.random.default_rng(seed)
    out = np.ones(shape, np.float32)
    for image in out[:, 0]:
        for _ in range(12):
            y, x = rng.integers(0, image.shape[0] - 8), rng.integers(0, image.shape[1] - 8)
            image[y : y + rng.integers(2, 24), x : x + rng.integers(2, 5)] = rng.uniform(0, 0.3)
    return out


@pytest.fixture(scope="module", params=list(NETS))
def exported(request, tmp_path_factory):
    kind = request.param
    torch.manual_seed(0)
    net = NETS[kind]()
    with torch.no_grad():
        if kind == "detector":
            net.head[0].weight.mul_(50)  # as sure as a trained one
        for seed in range(4):
            net.train()(torch.from_numpy(strokes(SHAPES[kind], seed)))
    net.eval()
    with torch.no_grad():
        expected = net(torch.from_numpy(strokes(SHAPES[kind], 9))).numpy()
    return kind, export.export(kind, net, tmp_path_factory.mktemp(kind) / f"{kind}.onnx"), expected


def test_exported_model_equals_the_network(exported):
    kind, path, expected = exported
    np.testing.assert_allclose(quantise.runner(path)(strokes(SHAPES[kind], 9)), expected, atol=1e-3)


def test_sizes_are_free(exported):
    kind, path, _ = exported
    run = quantise.runner(path)
    if kind == "detector":
        assert run(np.ones((1, 1, 96, 32), np.float32)).shape == (1, 3, 48, 16)
    else:
        assert run(np.ones((1, 1, 40, 32), np.float32)).shape == (1, 8, CLASSES)
        assert run(np.ones((7, 1, 40, 1536), np.float32)).shape == (7, 384, CLASSES)


def test_old_runtimes_can_load_it_and_metadata_say_what_it_is(exported):
    kind, path, _ = exported
    model = onnx.load(path)
    assert model.ir_version <= 10 and model.opset_import[0].version == 17
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    properties = {prop.key: prop.value for prop in model.metadata_props}
    assert properties["kind"] == kind and properties["version"]
    if kind == "recogniser":
        assert properties["alphabet"] == ALPHABET and properties["height"] == "40"


def test_the_int8_model_stays_close_to_the_float_one(exported, tmp_path):
    kind, path, expected = exported
    samples = [strokes(SHAPES[kind], seed) for seed in range(20, 28)]
    small = quantise.quantise(kind, path, tmp_path / "int8.onnx", samples, quantise.RECIPES[0])
    assert small.stat().st_size < 0.35 * path.stat().st_size
    got = quantise.runner(small)(strokes(SHAPES[kind], 9))
    assert np.abs(got - expected).mean() < 0.06 * np.abs(expected - expected.mean()).mean() + 1e-3
    model = onnx.load(small)
    assert {prop.key for prop in model.metadata_props} >= {"kind", "version"}
    stored = {tensor.name for tensor in model.graph.initializer}
    in_float = [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in stored]
    assert len(in_float) == (kind == "recogniser")
