"""Trained networks as ONNX files: normalisation folded, free sizes, metadata that the engine checks at load.

detector:   "image" float32 [1, 1, H, W] -> "maps" float32 [1, 3, H / 2, W / 2], H and W multiples of 32
recogniser: "lines" float32 [N, 1, 40, W] -> "logits" float32 [N, W / 4, C], W a multiple of 8
"""

import warnings
from pathlib import Path

import onnx
import torch

from .alphabet import ALPHABET
from .nets import LINE_HEIGHT, Detector, Recogniser, fuse

VERSION = "1.1.1"
OPSET = 17
IR_VERSION = 8  # ONNX Runtime 1.20, which vendors' boards still ship, reads up to 10

INPUTS = {"detector": "image", "recogniser": "lines"}
OUTPUTS = {"detector": "maps", "recogniser": "logits"}


def metadata(kind: str) -> dict[str, str]:
    own = {"alphabet": ALPHABET, "height": str(LINE_HEIGHT)} if kind == "recogniser" else {}
    return {"kind": kind, "version": VERSION, **own}


def network(kind: str, checkpoint: Path) -> torch.nn.Module:
    """The averaged weights of a checkpoint, ready for evaluation."""
    return _holding(kind, torch.load(checkpoint, map_location="cpu", weights_only=True)["average"])


def exported(kind: str, path: Path) -> torch.nn.Module:
    """The network of a model that `export` wrote, its normalisation folded: what is left of it without its checkpoint."""
    tensors = onnx.load(path).graph.initializer
    return _holding(kind, {tensor.name: torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy()) for tensor in tensors})


def _holding(kind: str, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    net = {"detector": Detector, "recogniser": Recogniser}[kind]().eval()
    if not any(".norm." in name for name in weights):
        fuse(net)
    net.load_state_dict(weights)
    return net


def export(kind: str, net: torch.nn.Module, path: Path) -> Path:
    """Writes `net` (evaluation mode; its normalisation gets folded) to `path`."""
    if kind == "detector":
        example, axes = torch.zeros(1, 1, 64, 96), {"image": {2: "height", 3: "width"}, "maps": {2: "height/2", 3: "width/2"}}
    else:
        example, axes = torch.zeros(2, 1, LINE_HEIGHT, 64), {"lines": {0: "count", 3: "width"}, "logits": {0: "count", 1: "steps"}}
    with warnings.catch_warnings():
        # The tracing exporter is deprecated, but it is the one that needs no further package and writes opset 17.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            fuse(net),
            (example,),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=[INPUTS[kind]],
            output_names=[OUTPUTS[kind]],
            dynamic_axes=axes,
        )
    model = onnx.load(path)
    finish(model, kind)
    onnx.save(model, path)
    return path


def finish(model: onnx.ModelProto, kind: str):
    """Sets the metadata and the file format's version, and checks the model."""
    model.ir_version = IR_VERSION
    model.producer_name, model.doc_string = "cictrain", ""
    onnx.helper.set_model_props(model, metadata(kind))
    onnx.checker.check_model(model, full_check=True)
