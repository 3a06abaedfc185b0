"""A model that was arranged gives what it gave before, bit by bit."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from cictrain.arrange import arrange


class Samples(CalibrationDataReader):
    def __init__(self):
        self.left = [{"image": picture(32, 64, seed)} for seed in range(4)]

    def get_next(self):
        return self.left.pop() if self.left else None


def picture(height, width, seed):
    return np.random.default_rng(seed).random((1, 1, height, width), np.float32)


def small_detector(folder):
    """Quantised as the detector is, with all that it has: stride, a resized branch, a head in fp32, shuffled pixels."""
    rng = np.random.default_rng(7)
    tensors = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "first": rng.normal(0, 0.4, (5, 1, 3, 3)).astype(np.float32),
        "first_bias": rng.normal(0, 0.2, 5).astype(np.float32),
        "second": rng.normal(0, 0.4, (6, 5, 3, 3)).astype(np.float32),
        "second_bias": rng.normal(0, 0.2, 6).astype(np.float32),
        "third": rng.normal(0, 0.4, (5, 6, 1, 1)).astype(np.float32),
        "third_bias": rng.normal(0, 0.2, 5).astype(np.float32),
        "head": rng.normal(0, 0.4, (12, 5, 3, 3)).astype(np.float32),
    }
    halves = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
    nodes = [
        helper.make_node("Conv", ["image", "first", "first_bias"], ["a"], "/first", **halves),
        helper.make_node("Relu", ["a"], ["b"], "/relu"),
        helper.make_node("Conv", ["b", "second", "second_bias"], ["c"], "/second", **halves),
        helper.make_node("Conv", ["c", "third", "third_bias"], ["d"], "/third", kernel_shape=[1, 1]),
        helper.make_node("Resize", ["d", "", "scales"], ["e"], "/resize", mode="nearest", nearest_mode="floor",
                         coordinate_transformation_mode="asymmetric"),
        helper.make_node("Add", ["b", "e"], ["f"], "/add"),
        helper.make_node("Conv", ["f", "head"], ["g"], "/head", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("DepthToSpace", ["g"], ["maps"], "/shuffle", blocksize=2, mode="CRD"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, "height", "width"])],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 3, "height/1", "width/1"])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "small.onnx")
    quantize_static(
        folder / "small.onnx", folder / "int8.onnx", Samples(), quant_format=QuantFormat.QDQ, per_channel=True,
        op_types_to_quantize=["Conv", "Relu", "Add", "Resize"], weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8, nodes_to_exclude=["/head"],
    )  # fmt: skip
    return onnx.load(folder / "int8.onnx")


def run(model, image):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": image})[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    as_quantised = small_detector(tmp_path_factory.mktemp("models"))
    arranged = onnx.ModelProto()
    arranged.CopyFrom(as_quantised)
    arrange(arranged)
    onnx.checker.check_model(arranged, full_check=True)
    return as_quantised, arranged


@pytest.mark.parametrize("size", [(32, 64), (96, 32), (64, 160)])
def test_outputs_are_the_same_whatever_the_size(models, size):
    image = picture(*size, seed=9)
    before, after = (run(model, image) for model in models)
    assert before.std() > 0.1, "nothing to compare"
    np.testing.assert_array_equal(before, after)


def test_what_takes_its_time_is_gone(models):
    _, arranged = models
    assert not {"Resize", "DepthToSpace"} & {node.op_type for node in arranged.graph.node}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in arranged.graph.initializer}
    assert weights["first_quantized"].shape == (20, 8, 3, 2)


def test_nothing_is_left_that_nobody_takes(models):
    _, arranged = models
    graph = arranged.graph
    taken = {value for node in graph.node for value in node.input} | {graph.output[0].name}
    given = {value for node in graph.node for value in node.output} | {tensor.name for tensor in graph.initializer}
    assert given <= taken, given - taken


def test_arranging_twice_does_no_more_than_once(models):
    _, arranged = models
    again = onnx.ModelProto()
    again.CopyFrom(arranged)
    arrange(again)
    assert again == arranged
