"""``dihpose finetune``: a network trained on with one's own labelled frames."""

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    finetune = commands.add_parser(
        "finetune",
        help="train a network on with your own labelled frames; the same command resumes what was interrupted",
    )
    finetune.add_argument(
        "--data", required=True, metavar="DIR", help="labelled frames: `dihpose data check DIR` looks at them"
    )
    finetune.add_argument("--model", help="as in Table I (default: what the weights are of)")
    finetune.add_argument(
        "--weights", help="to start from: a .safetensors of ours, or a .pm of the authors' (default: those that ship)"
    )
    finetune.add_argument("--out", help="folder for weights.safetensors and report.json (default: finetuned/DIR-MODEL)")
    finetune.add_argument(
        "--images", type=int, help="seen in training, the same frames again and again (default: 4,000)"
    )
    finetune.add_argument("--rate", type=float, help="of learning (default: 1e-3)")
    finetune.add_argument(
        "--held-out", type=float, help="share of the frames that teaches nothing and is compared on (default: 0.2)"
    )
    finetune.add_argument(
        "--frames", type=int, help="that teach, at most, at equal distances (default: what fits into memory)"
    )
    finetune.add_argument(
        "--patience", type=int, help="validations without improvement after which it ends; 0: never (default: 3)"
    )
    finetune.add_argument("--seed", type=int, help="of the split and of training (default: 0)")
    finetune.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
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
