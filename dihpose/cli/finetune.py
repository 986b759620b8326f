"""``dihpose finetune``: continue the training of a network with your own labelled frames."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    finetune = commands.add_parser(
        "finetune",
        help="continue the training of a network with your own labelled frames; the same command resumes",
    )
    finetune.add_argument(
        "--data", required=True, metavar="DIR", help="folder of labelled frames (`dihpose data check DIR` checks it)"
    )
    finetune.add_argument("--model", help="as in Table I (default: what the weights are of)")
    finetune.add_argument(
        "--weights",
        help="start from this file: .safetensors of ours or .pm of the authors (default: the shipped weights)",
    )
    finetune.add_argument("--out", help="folder for weights.safetensors and report.json (default: finetuned/DIR-MODEL)")
    finetune.add_argument("--images", type=int, help="number of training images, with repetition (default: 4,000)")
    finetune.add_argument("--rate", type=float, help="learning rate (default: 1e-3)")
    finetune.add_argument("--held-out", type=float, help="share of the frames kept for the test (default: 0.2)")
    finetune.add_argument(
        "--frames", type=int, help="at most this many training frames, evenly spread (default: what fits into memory)"
    )
    finetune.add_argument(
        "--patience", type=int, help="stop after this many validations without improvement; 0: never (default: 3)"
    )
    finetune.add_argument("--seed", type=int, help="seed of the split and of training (default: 0)")
    finetune.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    finetune.set_defaults(run=_finetune)


def _finetune(arguments: argparse.Namespace) -> int:
    from ..training import finetuning

    options = ("data", "model", "weights", "images", "rate", "held_out", "frames", "patience", "seed")
    given = {name: value for name in options if (value := getattr(arguments, name)) is not None}
    run = finetuning.planned(**given)
    out = Path(arguments.out or Path("finetuned") / f"{Path(arguments.data).resolve().name}-{run.model}")
    report = finetuning.finetune(run, out, arguments.device)
    for line in finetuning.told(report, out):
        print(line)
    return 0
