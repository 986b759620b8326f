"""Our choices where the paper does not say what it does, or where the authors' code differs from it, for REPORT.md.

Effects that need no training are measured by ``python -m tools.measure_choices``, which writes ``results/choices.json``.
"""

from dataclasses import dataclass

from ..common import files, machine


@dataclass(frozen=True)
class Choice:
    """A choice of ours.

    Attributes:
        question: What was to be chosen.
        choice: What we do.
        effect: What it changes, or why that was not measured.
        measured: Its name in ``results/choices.json``; "": it is not there.
    """

    question: str
    choice: str
    effect: str = ""
    measured: str = ""

    def said(self) -> str:
        """The effect in words, with what was measured."""
        found = _measured()
        rows = found.get("choices", {}).get(self.measured, [])
        numbers = "; ".join(
            f"{row['difference']:+.3f} ({row['low']:+.3f} to {row['high']:+.3f}) with: {row['what']}" for row in rows
        )
        return "; ".join(filter(None, (self.effect, numbers and f"F changes by {numbers}"))) or NOT_YET


def _measured() -> dict:
    path = machine.root() / "results" / "choices.json"
    return files.read_json(path) if path.is_file() else {}


def how() -> str:
    """How the measured effects came about, for a paragraph; "" if none are stored."""
    found = _measured()
    if not found:
        return ""
    return (
        f"F changes by ... with: the effect of another choice (`tools/measure_choices.py`), for the shipped {found['model']} "
        f"on {found['images']} frames of {found['sequences']} sequences of {' and '.join(found['sets'])}, where it has F "
        f"{found['f']:.2f}; in brackets a 95 % interval over the sequences. No choice was changed by these numbers. Core-hours "
        "are those of the other way at profile `reference`."
    )


NOT_YET = "not measured: run `python -m tools.measure_choices`"
# Why an effect was not measured: core-hours of the other way at profile `reference`, from the images a second that networks
# train with on one core; networks of our own way are trained anyway. MPM-2S sees 39,000 images, those of its ancestor and of
# finetuning included.
LIGHT = "1 core-hour (MPM-2S, 5 seeds)"
HEAVY = "2 core-hours (RPM-2S, 3 seeds)"
TEACHER = "3 core-hours (MPM-2S by CPM-2S, 3 seeds)"
ADAPTED = "half a core-hour (RPM-2S adapted, 3 seeds)"
DATA = "needs the paper's data"
PAPER = "only profile `paper` does it, at a cost of 40,000 core-hours"

CHOICES = (
    Choice(
        question="which input pixel a map cell stands for",
        choice="cell c of a map with stride s is at input position s (c + 0.5) - 0.5",
        effect=(
            "the authors stretch the columns of a map over the frame, which moves landmarks by up to 4 px at the "
            "right edge for MPM (notebook 02, table of quirks)"
        ),
    ),
    Choice(
        question="how overlap is measured for Table III's subset",
        choice="intersection over union of the boxes around the landmarks, mean over the three pairs of people",
        effect=f"not measured: {DATA}",
    ),
    Choice(
        question="how depth is in-painted (Table IV)",
        choice="Navier-Stokes in-painting, 3 px inwards from the edges of holes",
        measured="inpainting",
    ),
    Choice(
        question="backgrounds where no real ones are at hand; the paper has 1,367 frames of a Kinect 1",
        choice="another synthetic room for each scene, seen through the sensor models",
        effect=f"not measured: {HEAVY}",
    ),
    Choice(
        question="which landmarks are trained and scored",
        choice=(
            "those that no other person and no furniture hides, of people whom the sensor sees; eyes only where "
            "they are visible"
        ),
        measured="scoring",
    ),
    Choice(
        question="when a landmark counts as hidden (section III-A)",
        choice="a surface lies more than 0.2 m in front of it",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="landmarks that a data set does not mark (Panoptic: head, head top)",
        choice="neither trained nor scored: the loss leaves out their maps and the background map",
        effect=f"not measured: {DATA}; frames of Panoptic's stand-in mark all landmarks",
    ),
    Choice(
        question="how predicted and true landmarks are paired",
        choice="closest pair first, distances in units of h, each landmark once",
        measured="pairing",
    ),
    Choice(
        question="steps of kappa; h of people cut off by the frame",
        choice="0.01; the height of the box around landmarks inside the image",
        effect="of the second: notebook 05, table of choices",
        measured="kappas",
    ),
    Choice(
        question="association at each threshold eta",
        choice="landmarks are associated once, at the lowest threshold; higher ones remove some",
        effect="notebook 05, table of choices",
    ),
    Choice(
        question="the tenth of the images that is not cropped",
        choice="resized to the same square",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="the loss at a small budget",
        choice="cells on landmarks and limbs weigh up to 16 and 7 times as much",
        effect="notebook 05, what helped",
    ),
    Choice(
        question="a median filter in training with recipe paper",
        choice="runs without it, as printed, and runs with it",
        effect="large: notebook 05, what helped",
    ),
    Choice(
        question="how several people combine in one map",
        choice="the maximum of Gaussians, the mean of limb fields",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="sigma of equation (1), width of a limb in equation (2)",
        choice="7 sqrt(2) px, 8 px to each side, at the size of the input",
        effect="fitted to the outputs of the authors' networks",
    ),
    Choice(
        question="where peaks are read",
        choice="on the small maps, at positions finer than a cell; of two close peaks the higher one is kept",
        effect=(
            "against the authors' enlarged maps: notebook 05, table of agreement; against keeping the first peak "
            "(`scan_order`): notebook 02, table of quirks"
        ),
    ),
    Choice(
        question="merging of people",
        choice="not needed: limbs form a tree that is followed from parents to children",
        effect="none, by construction (notebook 02)",
    ),
    Choice(
        question="resizing to 444 x 368",
        choice="as the authors do: frames of another shape are distorted. The size is stored with the weights",
        measured="resizing",
    ),
    Choice(
        question="which network one trained on part of the data starts from",
        choice="the network of one stage less, trained on the same part",
        effect=f"not measured: {HEAVY}",
    ),
    Choice(
        question="whether fewer synthetic images mean fewer steps",
        choice=(
            "yes at profile `paper`, which counts epochs as printed; elsewhere every part of the data gets the "
            "same number of steps"
        ),
        effect=f"not measured: {PAPER}",
    ),
    Choice(
        question="images of a fold that are used again",
        choice=(
            "the same people in front of another room of the same batch, with new noise and another view; a batch"
            " keeps its images"
        ),
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="when the validation loss no longer falls",
        choice="its lowest value falls by less than 1 % from one epoch to the next",
        effect=f"not measured: {PAPER}",
    ),
    Choice(
        question="the learning rate, printed as a range [4e-10, 4e-5]",
        choice=(
            "at profile `paper` drawn from the range by the seed, the same for all networks of a seed; elsewhere "
            "Adam with the rates in `experiments/scales.py`"
        ),
        effect=f"not measured: {PAPER}",
    ),
    Choice(
        question="what adaptation starts from (200 K iterations)",
        choice="at profile `paper` a network of its own; elsewhere that of Table II",
        effect=f"not measured: {ADAPTED}",
    ),
    Choice(
        question="how a CPM starts where ImageNet weights are not at hand",
        choice=(
            "each convolution before a ReLU is scaled so that its channels have mean 0 and variance 1 on one "
            "batch (Krähenbühl et al. 2016)"
        ),
        effect=(
            "large: after 4,000 images CPM-1S has F 0.47 on 60 synthetic images, and 0.01 with torch's initial "
            "weights (seed 0, profile `small`; the latter at commit 1ed9eb1)"
        ),
    ),
    Choice(
        question="size of the domain classifier",
        choice="32 channels, 4 x 4 cells, 64 units",
        effect=f"not measured: {ADAPTED}",
    ),
    Choice(
        question="the constant of lambda for a loss other than the paper's",
        choice="the pose loss at the start of adaptation, divided by ln 2",
        effect=f"not measured: {ADAPTED}",
    ),
    Choice(
        question="batch norm in adaptation",
        choice="one batch of both domains passes through the features",
        effect=f"not measured: {ADAPTED}",
    ),
    Choice(
        question="what the confusion rate counts",
        choice="the share of images assigned to the wrong domain, with equally many of each domain",
        effect="a definition: the paper's 0.5 for domains that cannot be told apart is the same",
    ),
    Choice(
        question="which classifier tells the confusion rate, and which weights have most of it",
        choice=(
            "a new one on the fixed features of each checkpoint, tested on held-out images, mean of five "
            "trainings; most confusion is the mean closest to 0.5. The first runs (profile `small`) have the rate"
            " of the classifier that was trained along, and choose the highest"
        ),
        effect=(
            "large: the classifier trained along was wrong on up to 0.65 of 120 images, out of step with the features"
        ),
    ),
    Choice(
        question="how a new domain classifier is trained",
        choice="1,000 images of each domain, Adam, until the loss on a tenth of them settles (`training/probe.py`)",
        effect="standard deviation of five seeds: 0.002 (the shipped RPM-2S)",
    ),
    Choice(
        question="on which images adaptation's minimum loss is measured",
        choice="synthetic validation images, which need no labels of the target domain",
        effect=f"not measured: {ADAPTED}; the loss on the target is logged too",
    ),
    Choice(
        question="which teacher a student has",
        choice="the finetuned one, on synthetic and on real frames",
        effect=f"not measured: {TEACHER}",
    ),
    Choice(
        question="which stage of the student learns from which of the teacher",
        choice="last from last, and backwards from there",
        effect=f"not measured: {TEACHER}",
    ),
    Choice(
        question="how hints match 64 channels with 128",
        choice="a 1 x 1 convolution that only training uses",
        effect="the student keeps its size",
    ),
    Choice(
        question="pixels without background",
        choice="no reading",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="parameters of the hourglass",
        choice='Table I counts it without limb heads; `create("HG")` has them, `limbs=False` does not',
        effect="24,896 parameters",
    ),
    Choice(
        question="the size of the median filter of the network's frames",
        choice="3 x 3, as in the authors' code; none at profile `paper`, where one row has it everywhere",
        measured="median",
    ),
    Choice(
        question="the constants of the association",
        choice="the authors' (`association.Association`)",
        measured="decoder",
    ),
    Choice(
        question="preprocessing at profile `paper`",
        choice=(
            "no median anywhere: neither in training, validation and finetuning, nor in the network's use. Table "
            "I has one row with a median everywhere"
        ),
        effect=f"not measured: {PAPER}",
    ),
    Choice(
        question="when a run is validated",
        choice=(
            "once an epoch at profile `paper`; elsewhere up to eight times, at which only the schedule `plateau` looks"
        ),
        effect=f"not measured: {PAPER}",
    ),
    Choice(
        question="how people are turned; the paper's camera looks at them from anywhere",
        choice="any way. In the first runs (profile `small`) three quarters of them faced the camera",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="how far people are; the paper says at most 8 m",
        choice="from 0.7 to 8 m, more often near than far: the share of the range is u^1.5, u uniform",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="what people do; the paper has walking, jogging, jumping, stretching, turning and sport gestures",
        choice=(
            "48 % of our people do these, by rules and not by motion capture; the others stand, talk, reach, sit,"
            " cross arms and so on. At profile `paper` all are posed by motion capture where it is at hand"
        ),
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="how many bodies; the paper has 24 characters",
        choice="120 in training, in clothes of ours; 24 at profile `paper`",
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="sigma and the width of limbs on a smaller input",
        choice=(
            "7.2 and 6.4 px at every profile but `paper`, for inputs 64 to 184 px high alike. Scaled down with "
            "the input from 368 to 128 px they would be 3.4 and 2.8 px, less than half a cell"
        ),
        effect=f"not measured: {LIGHT}",
    ),
    Choice(
        question="finetuning at a small budget; the paper has 1,750 frames x 100 epochs",
        choice="1,750 frames x 4 epochs at profile `reference`; 525 x 4 in the first runs (`small`)",
        effect=f"not measured: {LIGHT} for each 4 epochs; 100 epochs take 25 times as long",
    ),
    Choice(
        question="training from synthetic images at a small budget; the paper has 230,934 images x 13 epochs a stage",
        choice="16,000 images a stage, each once, at profile `reference`; 4,000 in the first runs (`small`)",
        effect="not measured yet: the rows of table `scaling` (`experiments/tables.py`), F against images seen",
    ),
    Choice(
        question="optimizer and schedule at a small budget; the paper has SGD and a plateau",
        choice="Adam, a cosine, a running mean of the weights",
        effect="notebook 05, what helped",
    ),
    Choice(
        question="size of crops; the paper has 368 px",
        choice="128 px at profile `reference`, 184 at `gpu`, 368 at `paper`",
        effect="not measured: eight times the cost of 128 px, so 8 core-hours for MPM-2S, 5 seeds",
    ),
)
