"""dihpose: poses of several people from depth images. The reproducible companion to this paper:

Martínez-González, Villamizar, Canévet, Odobez: Efficient Convolutional Neural Networks for Depth-Based Multi-Person
Pose Estimation, IEEE TCSVT 2019.

Where each part of the paper is (files below ``dihpose/``, cells of ``notebooks/`` by their id):

| paper | what | file | function | notebook cell |
|---|---|---|---|---|
| Section III-A, Figure 1(b) | skeleton | skeleton.py | LANDMARKS, LIMBS | 01 figure-1b |
| Figure 1 | synthetic people in a scene | synthesis/scenes.py | sample | 01 figure-1 |
| Section VII-A1, Figure 2 | synthetic training images | synthesis/recipes.py | draw | 01 figure-2-recipes |
| Section VII-A | random rotation and crop | training/augment.py | random_view | 01 views |
| Section VII-C | depth to network input | depth/preprocessing.py | Preprocessing | 01 depth-toy |
| Section IV-A, Figure 3 | pose machine | models/pose_machine.py | PoseMachine | 02 figure-3 |
| Section IV-B1, Figure 4(a) | residual pose machine | models/rpm.py | features, branch | 02 figure-4 |
| Section IV-B2, Figure 4(b) | SqueezeNet pose machine | models/spm.py | flat_features, wide_features | 02 figure-4 |
| Section IV-B3, Figure 4(c) | MobileNet pose machine | models/mpm.py | features, branch | 02 figure-4 |
| Figure 5 | unit modules | models/blocks.py | Residual, Fire, DepthwiseSeparable | 02 figure-5 |
| Equation (1) | part maps | targets.py | part_maps | 02 equation-1-toy |
| Equation (2) | limb fields | targets.py | limb_maps | 02 equation-2-toy |
| Equation (3) | part loss | losses.py | part_loss | 04 equations-check |
| Equation (4) | limb loss | losses.py | limb_loss | 04 equations-check |
| Equation (5) | loss of all stages | losses.py | pose_loss | 04 equations-check |
| Section IV-D | peaks of part maps | peaks.py | find_peaks | 02 toy-peaks |
| Section IV-D | scores of candidate limbs | association.py | score_pairs | 02 toy-pairs |
| Section IV-D | people from limbs | association.py | choose_pairs, assemble | 02 toy-people |
| Section IV-D | maps to people, all steps | association.py | associate | 02 association-real |
| Equation (6) | domain loss | adaptation.py | domain_loss | 03 domain-loss |
| Equation (7), Equation (8) | gradient reversal | adaptation.py | reverse | 03 reversal-check |
| Section V, Figure 6 | domain classifier | adaptation.py | DomainClassifier | 03 figure-6 |
| Section VII-F | schedule of lambda | adaptation.py | strength, ceiling | 03 schedule-toy |
| Equation (9), Equation (10) | distillation loss | losses.py | distillation_loss | 04 equations-check |
| Section VI, Figure 7 | distillation | losses.py | distillation_loss | 04 figure-7 |
| Equation (11) | teacher loss | losses.py | teacher_loss | 04 equations-check |
| Equation (12) | parts against the teacher's | losses.py | part_loss | 04 equations-check |
| Equation (13) | limbs against the teacher's | losses.py | limb_loss | 04 equations-check |
| Equation (14) | hints | losses.py | hints_loss | 04 hints-code |
| Section VII-B | precision and recall | metrics.py | evaluate, Evaluation | 05 pck-toy |
| Table I | networks and parameters | models/zoo.py | create, count_parameters | 02 table-1-parameters |
| Table I | accuracy | experiments/tables.py | all_tables | 05 table-1 |
| Table I | frames per second | benchmark/inference.py | networks | 05 table-1-speed |
| Table II | amount of synthetic data | experiments/tables.py | all_tables | 05 table-2 |
| Table III | people per training image | experiments/tables.py | all_tables | 05 table-3 |
| Table IV | domain adaptation | experiments/tables.py | all_tables | 03 table-4 |
| Table IV | confusion rate | adaptation.py | confusion | 03 domain-loss |
| Section VII-F1 | fresh domain classifiers | training/probe.py | train, measure | 03 adaptation-curves |
| Section VII-F1 | are outlines what tells domains apart? | training/outlines.py | saliency, EQUALISED | 03 outlines |
| Table V | distillation | experiments/tables.py | all_tables | 04 table-5 |
| Figure 8 | precision and recall | report/curves.py | figure_8 | 05 figure-8 |
| Figure 9 | each landmark | report/curves.py | figure_9 | 05 figure-9 |
| Figure 10 | people in real frames | inference/estimator.py | PoseEstimator | 05 figure-10-all |
| Figure 11 | synthetic data and adaptation | report/curves.py | figure_11 | 05 figure-11 |
"""

from importlib.metadata import PackageNotFoundError, version

from .common import lazy
from .common.errors import InputError

_PLACES = {
    "Pose": "association",
    "PoseEstimator": "inference.estimator",
    "associate": "association",
    "association": "",
    "depth": "",
    "models": "",
    "skeleton": "",
    "targets": "",
}
__all__ = ["InputError", *_PLACES]
_get, __dir__ = lazy.names(__name__, _PLACES)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _get(name)
    try:
        return version("dihpose")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"
