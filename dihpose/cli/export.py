"""``dihpose export``: write a network as an ONNX file."""

import argparse
from pathlib import Path

from ..common.errors import InputError


def add(commands: argparse._SubParsersAction) -> None:
    export = commands.add_parser("export", help="write a network as an ONNX file, for other programs or in 8 bits")
    export.add_argument("model", nargs="?", metavar="MODEL", help="as in Table I (default: what the weights are of)")
    export.add_argument("--weights", help="a .safetensors of ours, or a .pm of the authors' (default: those that ship)")
    export.add_argument("--int8", action="store_true", help="8-bit weights and activations, and what that costs")
    export.add_argument("--out", help="the file (default: MODEL.onnx or MODEL.int8.onnx)")
    export.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    import onnx

    from .. import models
    from ..inference import export, int8
    from ..training import evaluation

    weights = models.chosen(arguments.model, arguments.weights)
    network = models.load(weights, expect=arguments.model)
    path = Path(arguments.out or f"{network.name}{'.int8' if arguments.int8 else ''}.onnx")
    if path.suffix != ".onnx":
        raise InputError(f"{path}: the name of an ONNX file must end in .onnx")
    path.parent.mkdir(parents=True, exist_ok=True)
    graph = onnx.load_model_from_string(export.cached(network))
    apart = export.difference(graph, network)
    if not arguments.int8:
        export.save(graph, path)
        print(f"{path}: {network.name}, {path.stat().st_size / 1e6:.2f} MB, maps within {apart:.0e} of torch's")
        return 0
    export.save(int8.make(network), path)
    cost = evaluation.of_int8(weights, path)
    print(f"{path}: {network.name}, {path.stat().st_size / 1e6:.2f} MB")
    print(
        f"On {cost['images']} synthetic images: F {cost['f_int8']:.3f}, in fp32 {cost['f']:.3f}; of {cost['landmarks']:,} "
        f"landmarks found in fp32, {cost['agree']:.1%} are found within {cost['tolerance']:g} pixels of the network's input"
    )
    return 0
