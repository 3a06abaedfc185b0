"""Arranges an int8 model so that ONNX Runtime computes the same numbers in less time.

Its 8-bit kernels go pixel by pixel over channels that lie side by side in memory. With one channel they have next to
nothing to do for each pixel, and do that on one core; 8-bit resizing and the shuffling of pixels run on one core, too.
What is written here instead are other words for the same: every output is equal, bit by bit.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Pixels of a row that the first convolution takes as channels. Two pixels are too few for a core, sixteen are mostly
# multiplications by zero.
BLOCK = 8

# Steps of `Graph.chain`.
PIXELS_LAST = "Transpose", None, {"perm": [0, 2, 3, 1]}
CHANNELS_FIRST = "Transpose", None, {"perm": [0, 3, 1, 2]}

def arrange(model: onnx.ModelProto):
    """Rewrites `model`, which is QDQ and quantised by `quantise`, in place. Twice does no more than once."""
    graph = Graph(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "Conv" and graph.has_one_channel(node):
            _widen(graph, node)
        elif node.op_type == "Resize":
            _repeat(graph, node)
        elif node.op_type == "DepthToSpace":
            _shuffle(graph, node)
    graph.drop_unused()
    del model.graph.value_info[:]


class Graph:
    """A graph's nodes by what they take and give."""

    def __init__(self, proto: onnx.GraphProto):
        self.proto = proto
        self.tensors = {tensor.name: tensor for tensor in proto.initializer}

    def giver(self, value: str) -> onnx.NodeProto | None:
        """None of what is stored."""
        return next((node for node in self.proto.node if value in node.output), None)

    def taker(self, value: str) -> onnx.NodeProto:
        """The only one."""
        [node] = [node for node in self.proto.node if value in node.input]
        return node

    def array(self, name: str) -> np.ndarray:
        return numpy_helper.to_array(self.tensors[name])

    def set(self, name: str, array: np.ndarray):
        self.tensors[name].CopyFrom(numpy_helper.from_array(array, name))

    def drop_unused(self):
        """Constants that nobody takes any more: ONNX Runtime warns of them."""
        taken = {value for node in self.proto.node for value in node.input}
        for node in list(self.proto.node):
            if node.op_type == "Constant" and node.output[0] not in taken:
                self.proto.node.remove(node)
        for tensor in list(self.proto.initializer):
            if tensor.name not in taken:
                self.proto.initializer.remove(tensor)

    def has_one_channel(self, conv: onnx.NodeProto) -> bool:
        stored = self.giver(conv.input[1])
        return stored is not None and self.array(stored.input[0]).shape[1] == 1

    def chain(self, name: str, value: str, steps: list) -> tuple[list[onnx.NodeProto], str]:
        """Nodes one after the other, from (operator, whole numbers as the second input or None, attributes)."""
        nodes = []
        for number, (operator, numbers, attributes) in enumerate(steps):
            inputs = [value] if operator != "Concat" else [value, value]
            if numbers is not None:
                constant = f"{name}/{number}/numbers"
                self.proto.initializer.append(numpy_helper.from_array(np.array(numbers, np.int64), constant))
                inputs.append(constant)
            value = f"{name}/{number}"
            nodes.append(helper.make_node(operator, inputs, [value], value, **attributes))
        return nodes, value

    def place(self, nodes: list[onnx.NodeProto], before: onnx.NodeProto | None = None, after: onnx.NodeProto | None = None):
        """Puts nodes into the order in which they are computed."""
        anchor = before if before is not None else after
        at = next(at for at, node in enumerate(self.proto.node) if node.name == anchor.name)
        for offset, node in enumerate(nodes, at + (before is None)):
            self.proto.node.insert(offset, node)

    def pass_on(self, old: str, new: str, but: list[onnx.NodeProto] = ()):
        """Whoever takes `old` takes `new`, those in `but` excepted."""
        names = {node.name for node in but}
        for node in self.proto.node:
            if node.name not in names:
                for at, value in enumerate(node.input):
                    if value == old:
                        node.input[at] = new


def _reshape(*shape):
    """0 keeps an extent."""
    return "Reshape", shape, {}


def _widen(graph: Graph, conv: onnx.NodeProto):
    """A convolution of 3 x 3 pixels with stride 2 over one channel becomes one over blocks of `BLOCK` pixels of a row, which
    gives a block's pixels of the output, half as many, at once. Each sees the block before and its own; the weights of
    what it did not see are zero."""
    pixels, stored, bias = (graph.giver(value) for value in conv.input)
    narrow = graph.array(stored.input[0])
    outputs, at_once = len(narrow), BLOCK // 2
    wide = np.zeros((at_once * outputs, BLOCK, 3, 2), narrow.dtype)
    for pixel in range(at_once):
        for column in range(3):
            block, channel = divmod(2 * pixel + column - 1 + BLOCK, BLOCK)
            wide[pixel * outputs : (pixel + 1) * outputs, channel, :, block] = narrow[:, 0, :, column]
    graph.set(stored.input[0], wide)
    for name in {*stored.input[1:], *bias.input}:
        graph.set(name, np.tile(graph.array(name), at_once))
    del conv.attribute[:]
    conv.attribute.extend(
        helper.make_attribute(name, value)
        for name, value in {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}.items()
    )
    quantised = graph.giver(pixels.input[0])
    blocks, value = graph.chain(
        "blocks", quantised.input[0], [("Squeeze", [1], {}), _reshape(0, 0, -1, BLOCK), CHANNELS_FIRST]
    )
    graph.place(blocks, before=quantised)
    quantised.input[0] = value
    end = graph.taker(conv.output[0])
    while end.op_type != "QuantizeLinear":
        end = graph.taker(end.output[0])
    apart, value = graph.chain("apart", end.output[0], [PIXELS_LAST, _reshape(0, 0, -1, outputs), CHANNELS_FIRST])
    graph.place(apart, after=end)
    graph.pass_on(end.output[0], value, but=apart)


def _repeat(graph: Graph, resize: onnx.NodeProto):
    """What is twice as large, each pixel repeated, is its rows and columns put beside themselves."""
    before, after = graph.giver(resize.input[0]), graph.taker(resize.output[0])
    conv = graph.giver(graph.giver(before.input[0]).input[0])
    channels = len(graph.array(graph.giver(conv.input[1]).input[0]))
    repeated, value = graph.chain(
        f"repeated{resize.name}",
        before.input[0],
        [
            PIXELS_LAST,
            ("Concat", None, {"axis": 3}),
            _reshape(0, 0, -1, channels),
            _reshape(-1, 1, 0, 0),
            ("Concat", None, {"axis": 1}),
            _reshape(1, -1, 0, 0),
            CHANNELS_FIRST,
        ],
    )
    graph.place(repeated, after=after)
    graph.pass_on(after.output[0], value, but=repeated)
    for node in (before, resize, after):
        graph.proto.node.remove(node)


def _shuffle(graph: Graph, node: onnx.NodeProto):
    """Channels become the 2 x 2 pixels of each pixel in two steps, of which each moves one axis."""
    maps = graph.proto.output[0].type.tensor_type.shape.dim[1].dim_value
    steps = [
        _reshape(2 * maps, 2, 0, 0),
        PIXELS_LAST,
        _reshape(0, 0, -1),
        ("Unsqueeze", [0], {}),
        _reshape(maps, 2, 0, 0),
        ("Transpose", None, {"perm": [0, 2, 1, 3]}),
        _reshape(1, maps, -1, 0),
    ]
    nodes, _ = graph.chain("shuffled", node.input[0], steps)
    nodes[-1].output[0] = node.output[0]
    graph.place(nodes, after=node)
    graph.proto.node.remove(node)
