"""Static int8 models: QDQ, weights per channel in S8, activations calibrated on generated pages and lines.

Several ways to calibrate are tried and measured on validation data; the one with the best score is kept.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from . import lines, pool, train_detector
from .arrange import arrange
from .export import INPUTS, finish



@dataclass(frozen=True)
class Recipe:
    """One way to calibrate. Weights are always S8 per channel."""

    name: str
    activations: QuantType
    calibration: CalibrationMethod
    options: dict


RECIPES = (
    Recipe("u8-minmax", QuantType.QUInt8, CalibrationMethod.MinMax, {}),
    Recipe("u8-percentile", QuantType.QUInt8, CalibrationMethod.Percentile, {"CalibPercentile": 99.999}),
    Recipe("s8-minmax", QuantType.QInt8, CalibrationMethod.MinMax, {}),
)
# The recogniser's head stays in fp32: it is a hundredth of the work, and its rounding is the one that nothing after it evens
# out. The detector's in int8 saves an eighth of its time, and only a sigmoid follows it: logits beyond these are certain, and
# 256 steps between them are fine enough.
CERTAIN = np.float32(8.0)
CALIBRATION_LINES, CALIBRATION_WIDTH = 384, 256
CALIBRATION_PAGES, CALIBRATION_CROP = 24, 448


class Samples(CalibrationDataReader):
    def __init__(self, name: str, arrays: list[np.ndarray]):
        self.feeds = iter([{name: array} for array in arrays])

    def get_next(self):
        return next(self.feeds, None)


def line_samples(folder: Path, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of training lines of one width (percentile calibration asks for one shape)."""
    crops = [shard.crop(n) for shard in pool.line_shards(folder).values() for n in range(0, len(shard.texts), 37)]
    fitting = [crop for crop in crops if CALIBRATION_WIDTH // 3 <= crop.shape[1] <= CALIBRATION_WIDTH]
    chosen = [fitting[i] for i in rng.permutation(len(fitting))[:CALIBRATION_LINES]]
    return [lines.batch(chosen[i : i + 16], CALIBRATION_WIDTH) for i in range(0, len(chosen) - 15, 16)]


def page_samples(folder: Path, rng: np.random.Generator) -> list[np.ndarray]:
    """Square crops of training pages."""
    pages = list(pool.pages(folder).values())
    chosen = [pages[i] for i in rng.permutation(len(pages))[:CALIBRATION_PAGES]]
    samples = []
    for page in chosen:
        image = train_detector.page_input(page.image)
        height, width = image.shape[2:]
        for _ in range(2):
            y, x = (int(rng.integers(0, max(1, side - CALIBRATION_CROP + 1))) for side in (height, width))
            cut = image[:, :, y : y + CALIBRATION_CROP, x : x + CALIBRATION_CROP]
            if cut.shape[2:] == (CALIBRATION_CROP, CALIBRATION_CROP):
                samples.append(np.ascontiguousarray(cut))
    return samples


def quantise(kind: str, source: Path, target: Path, samples: list[np.ndarray], recipe: Recipe) -> Path:
    """Writes the int8 form of `source` to `target`."""
    head = convolutions(source)[-1]
    in_float, options = ([head.name], recipe.options) if kind == "recogniser" else ([], {**recipe.options, **cut_off(head)})
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            Samples(INPUTS[kind], samples),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "Add", "Resize"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=recipe.activations,
            calibrate_method=recipe.calibration,
            nodes_to_exclude=in_float,
            extra_options=options,
        )
    model = onnx.load(target)
    arrange(model)
    finish(model, kind)
    onnx.save(model, target)
    return target


def convolutions(path: Path) -> list[onnx.NodeProto]:
    return [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]


def cut_off(head: onnx.NodeProto) -> dict:
    """The option that has a convolution's output quantised between the logits that are certain."""
    return {"TensorQuantOverrides": {head.output[0]: [{"rmin": -CERTAIN, "rmax": CERTAIN}]}}


def session(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def runner(path: Path, threads: int = 1):
    """The model as a function from its input array to its output array."""
    model = session(path, threads)
    name = model.get_inputs()[0].name
    return lambda array: model.run(None, {name: array})[0]
