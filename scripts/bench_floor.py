"""What the models' operations cost at least on this machine, for bench.py; prints JSON.

Operations are the multiplications of the .onnx files, at the sizes that the engine gives them: the detector's follow from
the page; the recogniser's from the lines that the detector finds there, each padded as in the engine. Lines
are put together here without the engine's finer points (cutting at rules, lone digits), so their number is an estimate.

The machine's rates are those of ONNX Runtime's best: a large matrix product and a chain of wide 3x3 convolutions, which
are what its kernels are made for, one to each thread, the best of many runs. Weights and activations of the int8 ones are
of the kinds that the models' are.

A process of its own: what a parent holds would count among the memory of the programs that it starts.
"""

import argparse
import base64
import functools
import json
import math
import re
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent

# As in src/ocr/detect.rs, where the reasons stand.
SHORT_SIDE, LONG_SIDE, MULTIPLE = 896, 2688, 32
FLOOR, PEAK, LEAST = 0.35, 0.5, 2.0
CORES_PER_BOX, EM_PER_BOX, GROW = 2.08, 1.4, 0.25
LINE_HEIGHT = 40

MATRIX = 1024  # rows and columns of the matrices
CHANNELS, SIDE, LAYERS = 128, 48, 8  # of the chain of convolutions: long, so that reordering its ends hardly counts
REPEATS = 40  # short runs, of which some are undisturbed


def macs(model, shape):
    """Multiplications of a model in fp32 for one input of this shape."""
    model = onnx.ModelProto.FromString(model)
    graph = model.graph
    del graph.value_info[:]
    for dimension, extent in zip(graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        dimension.dim_value = extent
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim)
    return sum(math.prod(shapes[node.output[0]]) * for_each_output(node, shapes) for node in graph.node)


def for_each_output(node, shapes):
    """Multiplications for one number that a node gives; those of activations and additions do not count."""
    match node.op_type:
        case "Conv":
            return math.prod(shapes[node.input[1]][1:])
        case "MatMul":
            return shapes[node.input[0]][-1]
        case "ConvTranspose" | "Gemm" | "LSTM" | "GRU" | "Einsum" | "Attention":
            raise SystemExit(f"bench_floor.py does not know how to count {node.op_type}")
        case _:
            return 0


@functools.cache
def engines(constant):
    """A constant of the engine's recogniser, out of its source, so that it is the same."""
    source = (ROOT / "src/ocr/recognise.rs").read_text(encoding="utf-8")
    return int(re.search(rf"const {constant}: usize = (\d+);", source)[1])


def padded(widths):
    """The width that the engine pads each line to: as that of its run, as src/ocr/recognise.rs chooses them."""
    step, most, start_cost = map(engines, ("WIDTH_STEP", "COLUMNS_OF_A_RUN", "COLUMNS_TO_START"))
    least, most_of_line = engines("NARROWEST"), engines("WIDEST")
    rounded = sorted((max(math.ceil(min(width, most_of_line) / step) * step, least) for width in widths), reverse=True)
    cheapest = [(0, [])]
    for end in range(1, len(rounded) + 1):
        runs = [(start, rounded[start] * (end - start)) for start in range(end)]
        allowed = [(start, columns) for start, columns in runs if columns <= most or start + 1 == end]
        cost, start = min((cheapest[start][0] + start_cost + columns, start) for start, columns in allowed)
        cheapest.append((cost, [*cheapest[start][1], *[rounded[start]] * (end - start)]))
    return cheapest[-1][1]


def detector_input(page):
    """A grey page [h, w] as the engine scales and pads it, [1, 1, H, W]."""
    scale = min(SHORT_SIDE / min(page.shape), LONG_SIDE / max(page.shape))
    height, width = (max(round(side * scale), 1) for side in page.shape)
    padded = np.ones([math.ceil(side / MULTIPLE) * MULTIPLE for side in (height, width)], np.float32)
    padded[:height, :width] = cv2.resize(page, (width, height), interpolation=cv2.INTER_AREA) / 255
    return padded[None, None]


def line_widths(text_map):
    """The widths of the lines' crops, px."""
    # As far as lengths go, map pixels are as good as any: what counts is their proportion to the height.
    count, labels, stats, _ = cv2.connectedComponentsWithStats((text_map >= FLOOR).astype(np.uint8), connectivity=4)
    masses = np.bincount(labels.ravel(), text_map.ravel(), count)
    peaks = np.zeros(count)
    np.maximum.at(peaks, labels.ravel(), text_map.ravel())
    lengths = stats[:, cv2.CC_STAT_WIDTH]
    heights = masses / lengths
    is_line = (peaks >= PEAK) & (heights >= LEAST) & (masses >= LEAST)
    is_line[0] = False  # The background.
    boxes = heights[is_line] * CORES_PER_BOX
    return (lengths[is_line] + 2 * GROW * boxes / EM_PER_BOX) * LINE_HEIGHT / boxes


def pages(command, document):
    """Its pages as the models see them, grey: upright, cut to the paper and straightened."""
    answer = json.loads(subprocess.run([*command, "--thumb", document], capture_output=True).stdout)
    # Each report of a document holds all of its pages.
    for picture in answer["data"]["info"][0]["imgs"] if answer["errorCode"] == "0" else ():
        yield cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_GRAYSCALE)


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def operations(models, threads, command, documents):
    """Multiplications of both models for the average page, and its lines."""
    detector, recogniser = ((models / f"{kind}.onnx").read_bytes() for kind in ("detector", "recogniser"))
    detect = session(detector, threads)
    of_line = functools.cache(lambda width: macs(recogniser, (1, 1, LINE_HEIGHT, width)))
    of_page = functools.cache(lambda *shape: macs(detector, shape))
    counts = []
    for document in documents:
        for page in pages(command, document):
            image = detector_input(page)
            [maps] = detect.run(None, {detect.get_inputs()[0].name: image})
            widths = line_widths(maps[0, 0])
            filled = padded(widths)
            counts.append((of_page(*image.shape), sum(map(of_line, filled)), len(filled), sum(widths), sum(filled)))
    names = ("detector", "recogniser", "lines", "width", "padded")
    return {name: statistics.mean(column) for name, column in zip(names, zip(*counts))}


def product(precision):
    """A matrix product, and its multiplications."""
    shape = (MATRIX, MATRIX)
    return graph_of(precision, "MatMul", shape, [shape], {}), MATRIX**3


def convolutions(precision):
    """A chain of convolutions, and its multiplications."""
    shape, weights = (1, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3)
    return graph_of(precision, "Conv", shape, [weights] * LAYERS, {"pads": [1] * 4}), LAYERS * SIDE**2 * math.prod(weights)


def graph_of(precision, operator, shape, weights, attributes):
    """A chain of one operator, in int8 from bytes to bytes, so that nothing but the operator takes time."""
    rng = np.random.default_rng(0)
    element = TensorProto.UINT8 if precision == "int8" else TensorProto.FLOAT
    nodes, initialisers = [], []

    def constant(name, array):
        initialisers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    scale, zero, even = constant("scale", np.float32(0.02)), constant("zero", np.uint8(128)), constant("even", np.int8(0))
    at = "x"
    for layer, extents in enumerate(weights):
        if precision == "int8":
            weight = constant(f"w{layer}", rng.integers(-64, 64, extents, np.int8))
            nodes.append(helper.make_node("DequantizeLinear", [at, scale, zero], [f"a{layer}"]))
            nodes.append(helper.make_node("DequantizeLinear", [weight, scale, even], [f"b{layer}"]))
            nodes.append(helper.make_node(operator, [f"a{layer}", f"b{layer}"], [f"c{layer}"], **attributes))
            nodes.append(helper.make_node("QuantizeLinear", [f"c{layer}", scale, zero], [f"y{layer}"]))
        else:
            weight = constant(f"w{layer}", rng.normal(0, 0.03, extents).astype(np.float32))
            nodes.append(helper.make_node(operator, [at, weight], [f"y{layer}"], **attributes))
        at = f"y{layer}"
    ends = [helper.make_tensor_value_info(name, element, shape) for name in ("x", at)]
    graph = helper.make_graph(nodes, operator, ends[:1], ends[1:], initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


def rate(model, multiplications, precision, threads):
    """Multiplications per second of all threads together, each with a session of its own: none waits for another."""
    rng = np.random.default_rng(1)
    sessions = [session(model, 1) for _ in range(threads)]
    shape = sessions[0].get_inputs()[0].shape
    given = rng.integers(0, 256, shape, np.uint8) if precision == "int8" else rng.random(shape, np.float32)

    def best(run):
        times = []
        for _ in range(REPEATS):
            begun = time.perf_counter()
            run.run(None, {"x": given})
            times.append(time.perf_counter() - begun)
        return min(times)

    with ThreadPoolExecutor(threads) as pool:
        return sum(multiplications / seconds for seconds in pool.map(best, sessions))


def rates(threads):
    shapes = {"matrix product": product, "convolutions": convolutions}
    return {
        precision: {name: rate(*shape(precision), precision, threads) for name, shape in shapes.items()}
        for precision in ("int8", "fp32")
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--program", default=ROOT / "target/release/cic-kiosk", help="cic-kiosk")
    parser.add_argument("documents", nargs="+")
    options = parser.parse_args()
    command = [options.program, "extract", "--models", options.models, "--threads", str(options.threads)]
    found = operations(options.models, options.threads, command, options.documents)
    print(json.dumps({"operations": found, "rates": rates(options.threads), "onnxruntime": onnxruntime.__version__}))


if __name__ == "__main__":
    main()
