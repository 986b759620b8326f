"""Procedural motions: joint angles as functions of a phase and a style, for many people at once.

A pose is a row of named angles in degrees (``ANGLES``). In the canonical pose all are 0: upright, limbs hang straight.
An arm or a leg is raised by ``raise`` in the direction ``azimuth`` (0 forward, 90 to its own side, negative across the
body) and turned about itself by ``twist`` (positive inwards).

Every motion is a function of ``phase`` (N,), from 0 to 1 in one period, and of ``u``, which draws the person's style:
``u(low, high)`` is a number for each person (N,). It returns a :data:`Pose`.
"""

from collections.abc import Callable

import torch

from .. import random

_SIDED = {
    "shrug": (-5, 30), "arm_raise": (-60, 178), "arm_azimuth": (-60, 180), "arm_twist": (-90, 95), "elbow": (0, 150),
    "wrist": (-50, 50), "leg_raise": (-35, 120), "leg_azimuth": (-30, 120), "leg_twist": (-45, 45), "knee": (0, 145),
    "ankle": (-30, 45),
}  # fmt: skip
_MIDDLE = {
    "lean": (-30, 90), "spine": (-30, 80), "spine_side": (-35, 35), "spine_twist": (-45, 45),
    "neck": (-45, 50), "neck_side": (-35, 35), "neck_twist": (-75, 75),
}  # fmt: skip
# The limits of each angle in a healthy adult, degrees.
LIMITS = _MIDDLE | {f"{side}_{name}": limit for name, limit in _SIDED.items() for side in ("left", "right")}
ANGLES = tuple(LIMITS)
_AT = {name: i for i, name in enumerate(ANGLES)}

Pose = dict[str, torch.Tensor]  # name of an angle -> degrees (N,); missing angles are 0
Style = Callable[[float, float], torch.Tensor]  # (low, high) -> a number for each person (N,)


def _both(**angles: torch.Tensor) -> Pose:
    """Give the left and the right side the same angles."""
    return {f"{side}_{name}": value for name, value in angles.items() for side in ("left", "right")}


def _each(u: Style, **ranges: tuple[float, float]) -> Pose:
    """Draw each angle anew for the left and the right side."""
    return {f"{side}_{name}": u(*limits) for name, limits in ranges.items() for side in ("left", "right")}


def _where(pose: Pose, angles: Pose, left: torch.Tensor, right: torch.Tensor) -> Pose:
    """Replace angles of the left side where ``left`` (N,) is true, and of the right side where ``right`` is."""
    sides = (("left", left), ("right", right))
    return {f"{s}_{k}": torch.where(on, value, pose[f"{s}_{k}"]) for s, on in sides for k, value in angles.items()}


def _to_and_fro(phase: torch.Tensor) -> torch.Tensor:
    """Swing from 0 to 1, to -1 and back to 0 in one period."""
    return torch.sin(2 * torch.pi * phase)


def _up_and_down(phase: torch.Tensor) -> torch.Tensor:
    """Rise from 0 to 1 and fall back to 0 in one period."""
    return 0.5 - 0.5 * torch.cos(2 * torch.pi * phase)


def _standing(u: Style) -> Pose:
    """Draw a relaxed standing pose, on which most motions build."""
    return _each(
        u, arm_raise=(0, 22), arm_azimuth=(20, 130), arm_twist=(-10, 60), elbow=(3, 40), leg_raise=(0, 10),
        leg_azimuth=(30, 110), leg_twist=(-25, 10), knee=(0, 12),
    ) | {"spine": u(-6, 10), "spine_side": u(-6, 6), "spine_twist": u(-12, 12)}  # fmt: skip


def stand(phase: torch.Tensor, u: Style) -> Pose:
    """Stand with relaxed arms and shift the weight slowly."""
    sway = _to_and_fro(phase)
    return _standing(u) | {"spine_side": u(0, 6) * sway, "lean": u(-3, 3) * sway}


def _stride(phase: torch.Tensor, u: Style, leg: float, arm: float, elbow: tuple[float, float], knee: float) -> Pose:
    """Take steps; the largest angles of legs, arms and knees are given in degrees."""
    pose = _standing(u)
    swing, bent = u(0.6, 1.2), u(*elbow)
    for side, offset in (("left", 0.0), ("right", 0.5)):
        angle = 2 * torch.pi * (phase + offset)
        pose |= {
            f"{side}_leg_raise": swing * (leg * torch.sin(angle) + 0.2 * leg),
            f"{side}_leg_azimuth": torch.zeros_like(phase),
            f"{side}_knee": swing * knee * (0.15 + 0.85 * torch.cos(angle).clamp(min=0) ** 2),
            f"{side}_arm_raise": -swing * arm * torch.sin(angle),
            f"{side}_arm_azimuth": u(-5, 15),
            f"{side}_elbow": bent,
        }
    return pose


def walk(phase: torch.Tensor, u: Style) -> Pose:
    return _stride(phase, u, leg=26, arm=24, elbow=(8, 35), knee=55) | {"spine_twist": 6 * _to_and_fro(phase)}


def jog(phase: torch.Tensor, u: Style) -> Pose:
    return _stride(phase, u, leg=42, arm=38, elbow=(75, 110), knee=95) | {"lean": u(3, 12)}


def jump(phase: torch.Tensor, u: Style) -> Pose:
    """Do jumping jacks: spread arms and legs, and close them again."""
    open_ = _up_and_down(phase) * u(0.6, 1.0)
    return _both(
        arm_raise=10 + 160 * open_, arm_azimuth=u(75, 95), arm_twist=-40 * open_, elbow=u(0, 30), shrug=20 * open_,
        leg_raise=4 + 28 * open_, leg_azimuth=90 + 0 * phase, knee=u(0, 25),
    )  # fmt: skip


def stretch(phase: torch.Tensor, u: Style) -> Pose:
    """Stretch both arms to the sides, up, or between; the body bends with them."""
    pose = _standing(u)
    reach = 60 + 115 * phase + u(-8, 8)  # from low at the sides, over a T, to straight up
    elbow, azimuth = u(-40, 55).clamp(min=0), u(60, 105)
    for side in ("left", "right"):
        pose |= {
            f"{side}_arm_raise": reach + u(-10, 10),
            f"{side}_arm_azimuth": azimuth + u(-10, 10),
            f"{side}_arm_twist": u(-80, 10),
            f"{side}_elbow": elbow + u(-10, 10),
            f"{side}_shrug": (reach - 60).clamp(min=0) / 5,
        }
    return pose | {"spine_side": u(-12, 12), "spine": u(-10, 8)}


def turn(phase: torch.Tensor, u: Style) -> Pose:
    """Turn the trunk and the head to both sides."""
    angle = _to_and_fro(phase)
    return _standing(u) | {"spine_twist": u(20, 45) * angle, "neck_twist": u(0, 50) * angle}


def gesture(phase: torch.Tensor, u: Style) -> Pose:
    """Throw, hit or box: arms anywhere before the body, legs apart."""
    pose = _standing(u)
    swing = _to_and_fro(phase)
    for side, sign in (("left", 1), ("right", -1)):
        pose |= {
            f"{side}_arm_raise": u(40, 110) + sign * 40 * swing,
            f"{side}_arm_azimuth": u(-20, 110),
            f"{side}_arm_twist": u(-70, 70),
            f"{side}_elbow": u(0, 130),
            f"{side}_leg_raise": u(-10, 40),
            f"{side}_leg_azimuth": u(0, 80),
            f"{side}_knee": u(0, 55),
        }
    return pose | {"spine": u(-10, 30), "spine_twist": 30 * swing, "lean": u(-5, 15)}


def talk(phase: torch.Tensor, u: Style) -> Pose:
    """Talk with both hands before the body."""
    beat = _to_and_fro(phase)
    pose = _standing(u) | _each(u, arm_raise=(5, 50), arm_azimuth=(-10, 80), arm_twist=(-20, 70), elbow=(30, 130))
    return pose | {"left_elbow": pose["left_elbow"] + 12 * beat, "right_elbow": pose["right_elbow"] - 12 * beat}


def cross_arms(phase: torch.Tensor, u: Style) -> Pose:
    """Fold the arms before the chest, higher or lower."""
    return _standing(u) | _each(u, arm_azimuth=(-5, 25), wrist=(-10, 20)) | _both(
        arm_raise=22 + 16 * phase, arm_twist=62 + 10 * phase, elbow=95 + 10 * phase
    ) | {"left_shrug": u(-4, 4), "right_shrug": u(-4, 4)}  # fmt: skip


def pockets(phase: torch.Tensor, u: Style) -> Pose:
    """Put one or both hands into the pockets, elbows out."""
    pose = _standing(u) | {"spine_side": 5 * _to_and_fro(phase)}
    one = u(0, 1) < 0.25
    inside = {"arm_raise": u(14, 28), "arm_azimuth": u(95, 140), "arm_twist": u(15, 50), "elbow": u(30, 55)}
    pose |= {f"right_{name}": value for name, value in inside.items()}
    return pose | {
        f"left_{name}": torch.where(one, pose[f"left_{name}"], value + u(-4, 4)) for name, value in inside.items()
    }


def hands_together(phase: torch.Tensor, u: Style) -> Pose:
    """Fold the hands before the body, between lap and chest."""
    height = phase
    return _standing(u) | _both(
        arm_raise=u(5, 25) + 5 * height, arm_azimuth=u(0, 90), arm_twist=25 + 50 * height + u(-10, 10),
        elbow=35 + 70 * height + u(-10, 10),
    )  # fmt: skip


def reach(phase: torch.Tensor, u: Style) -> Pose:
    """Reach out with one arm: to the front, to the side or up."""
    out = _up_and_down(phase) * u(50, 170)
    left = u(0, 1) < 0.5
    pose = _standing(u)
    far = {"arm_raise": out, "arm_azimuth": u(-20, 110), "arm_twist": u(-60, 40), "elbow": u(0, 110) * u(0, 1)}
    pose |= _where(pose, far, left=left, right=~left)
    return pose | {"spine": u(-5, 20), "spine_twist": u(-20, 20)}


def hand_to_head(phase: torch.Tensor, u: Style) -> Pose:
    """Hold one or both hands at the head: telephoning, scratching, shading the eyes, drinking."""
    pose = _standing(u)
    near = {"arm_raise": u(35, 110), "arm_azimuth": u(10, 100), "arm_twist": u(-40, 30), "elbow": u(105, 145)}
    left, both = u(0, 1) < 0.5, u(0, 1) < 0.25
    pose |= _where(pose, near, left=left | both, right=~left | both)
    return pose


def sit(phase: torch.Tensor, u: Style) -> Pose:
    """Sit (without a chair) and lean forward and back."""
    pose = _standing(u) | _each(
        u, leg_raise=(70, 95), leg_azimuth=(0, 25), knee=(60, 105), arm_raise=(5, 55), arm_azimuth=(0, 60), elbow=(10, 110),
    )  # fmt: skip
    return pose | {"lean": 10 * _to_and_fro(phase) + u(-10, 15), "spine": u(0, 25)}


def bend(phase: torch.Tensor, u: Style) -> Pose:
    """Bend down to the floor and come up again."""
    down = _up_and_down(phase)
    pose = _standing(u) | _each(u, arm_raise=(20, 100), arm_azimuth=(-10, 40), elbow=(0, 60))
    squat = u(0, 1) * down
    return pose | _both(leg_raise=100 * squat, leg_azimuth=u(0, 30), knee=125 * squat, ankle=20 * squat) | {
        "lean": 50 * down * u(0.3, 1), "spine": 45 * down
    }  # fmt: skip


def wave(phase: torch.Tensor, u: Style) -> Pose:
    """Wave with one forearm beside the head."""
    pose = _standing(u)
    up = {"arm_raise": u(60, 110), "arm_azimuth": u(60, 100), "arm_twist": -75 + 25 * torch.sin(4 * torch.pi * phase),
          "elbow": u(70, 110)}  # fmt: skip
    left = u(0, 1) < 0.5
    pose |= _where(pose, up, left=left, right=~left)
    return pose


def akimbo(phase: torch.Tensor, u: Style) -> Pose:
    """Put the hands on the hips."""
    return _standing(u) | _each(u, arm_raise=(35, 50), arm_azimuth=(90, 125), arm_twist=(35, 65), elbow=(80, 105)) | {
        "spine_side": 7 * _to_and_fro(phase)
    }  # fmt: skip


def stroll(phase: torch.Tensor, u: Style) -> Pose:
    """Take slow steps with the hands behind the back, or hanging."""
    pose = _stride(phase, u, leg=15, arm=6, elbow=(5, 20), knee=35)
    behind = u(0, 1) < 0.5
    for side in ("left", "right"):
        back = {"arm_raise": u(15, 30), "arm_azimuth": u(150, 178), "arm_twist": u(40, 80), "elbow": u(45, 75)}
        pose |= {f"{side}_{name}": torch.where(behind, value, pose[f"{side}_{name}"]) for name, value in back.items()}
    return pose


def point(phase: torch.Tensor, u: Style) -> Pose:
    """Point with a straight arm that sweeps to the side."""
    pose = _standing(u)
    out = {"arm_raise": u(65, 120), "arm_azimuth": 20 + 60 * _to_and_fro(phase), "arm_twist": u(-30, 30),
           "elbow": u(0, 12)}  # fmt: skip
    left = u(0, 1) < 0.5
    pose |= _where(pose, out, left=left, right=~left)
    return pose | {"neck_twist": 25 * _to_and_fro(phase)}


def circles(phase: torch.Tensor, u: Style) -> Pose:
    """Circle with straight arms, together or by turns."""
    pose = _standing(u)
    lag, tilt = (u(0, 1) < 0.5) * 0.5, u(20, 70)
    for side, offset in (("left", 0.0), ("right", lag)):
        turn = 2 * torch.pi * (phase + offset)
        pose |= {
            f"{side}_arm_raise": 90 - 85 * torch.cos(turn),
            f"{side}_arm_azimuth": tilt + 35 * torch.sin(turn),
            f"{side}_elbow": u(0, 15),
        }
    return pose


def leg_lift(phase: torch.Tensor, u: Style) -> Pose:
    """Lift one leg, forward or to its side, bent or straight."""
    up = _up_and_down(phase) * u(40, 100)
    lifted = {"leg_raise": up, "leg_azimuth": u(0, 80), "knee": up * u(0, 1.2)}
    left = u(0, 1) < 0.5
    pose = _standing(u)
    pose |= _where(pose, lifted, left=left, right=~left)
    return pose | _each(u, arm_raise=(10, 80), arm_azimuth=(60, 110))


def sway(phase: torch.Tensor, u: Style) -> Pose:
    """Bend the trunk round in a circle, arms loose."""
    turn = 2 * torch.pi * phase
    return _standing(u) | {
        "spine_side": 30 * torch.sin(turn), "spine": 20 - 30 * torch.cos(turn), "neck_side": 20 * torch.sin(turn + 1)
    }  # fmt: skip


def haggle(phase: torch.Tensor, u: Style) -> Pose:
    """Weigh something in two open hands."""
    weigh = 18 * _to_and_fro(phase)
    pose = _standing(u) | _each(u, arm_raise=(15, 35), arm_azimuth=(20, 70), arm_twist=(-45, -5), elbow=(60, 95))
    return pose | {"left_arm_raise": pose["left_arm_raise"] + weigh, "right_arm_raise": pose["right_arm_raise"] - weigh}


def rest(phase: torch.Tensor, u: Style) -> Pose:
    """Stand at ease: the weight on one leg, then on the other, one arm across the body or hanging."""
    swing = _to_and_fro(phase)
    across = {"arm_raise": u(5, 20), "arm_azimuth": u(-30, 10), "arm_twist": u(50, 80), "elbow": u(60, 95)}
    pose = _each(
        u, arm_raise=(2, 14), arm_azimuth=(30, 120), arm_twist=(0, 50), elbow=(5, 25), leg_raise=(0, 5), knee=(0, 6)
    )
    folded = u(0, 1) < 0.35
    left = u(0, 1) < 0.5
    pose |= _where(pose, across, left=left & folded, right=~left & folded)
    return pose | {"spine_side": 4 * swing, "lean": u(-2, 4), "spine": u(-4, 8)}


def explain(phase: torch.Tensor, u: Style) -> Pose:
    """Explain something with one hand, the other arm hangs."""
    beat = _to_and_fro(phase)
    raised = {"arm_raise": u(15, 55) + 10 * beat, "arm_azimuth": u(0, 70), "arm_twist": u(-40, 40),
              "elbow": u(50, 110) - 15 * beat}  # fmt: skip
    pose = rest(phase, u)
    left = u(0, 1) < 0.5
    return pose | _where(pose, raised, left=left, right=~left) | {"spine_twist": u(-10, 10) + 6 * beat}


def hand_over(phase: torch.Tensor, u: Style) -> Pose:
    """Hold something out to somebody, and draw it back."""
    out = _up_and_down(phase)
    given = {"arm_raise": 20 + out * u(45, 80), "arm_azimuth": u(-5, 30), "arm_twist": u(-30, 30),
             "elbow": 85 - 75 * out}  # fmt: skip
    pose = rest(phase, u)
    left = u(0, 1) < 0.5
    return pose | _where(pose, given, left=left, right=~left) | {"lean": 12 * out, "spine": 8 * out}


Motions = dict[str, tuple[Callable[[torch.Tensor, Style], Pose], float]]
# Name -> motion and its share. MOTIONS is for training: first the paper's six kinds, then what people do before a robot or
# a camera. ROBOT and STUDIO belong to the stand-ins for real data sets; training never uses them.
MOTIONS: Motions = {
    "walk": (walk, 0.09), "jog": (jog, 0.03), "jump": (jump, 0.07), "stretch": (stretch, 0.18), "turn": (turn, 0.04),
    "gesture": (gesture, 0.07), "stand": (stand, 0.12), "talk": (talk, 0.09), "hands_together": (hands_together, 0.05),
    "cross_arms": (cross_arms, 0.04), "pockets": (pockets, 0.04), "reach": (reach, 0.09),
    "hand_to_head": (hand_to_head, 0.03), "sit": (sit, 0.04), "bend": (bend, 0.02),
}  # fmt: skip
ROBOT: Motions = {"wave": (wave, 0.25), "akimbo": (akimbo, 0.2), "stroll": (stroll, 0.3), "point": (point, 0.25)}
STUDIO: Motions = {"circles": (circles, 0.3), "leg_lift": (leg_lift, 0.2), "sway": (sway, 0.2), "haggle": (haggle, 0.3)}
# What people do between two walks, in the stand-ins that are sequences.
AT_WORK: Motions = {
    "rest": (rest, 0.3), "explain": (explain, 0.2), "hand_over": (hand_over, 0.12), "wave": (wave, 0.1),
    "akimbo": (akimbo, 0.13), "point": (point, 0.15),
}  # fmt: skip
IN_THE_STUDIO: Motions = {"rest": (rest, 0.2)} | {name: (move, 0.8 * share) for name, (move, share) in STUDIO.items()}
REPERTOIRES = {
    "everyday": MOTIONS, "robot": ROBOT, "studio": STUDIO, "robot at work": AT_WORK, "studio at work": IN_THE_STUDIO,
}  # fmt: skip
_EVERY = MOTIONS | ROBOT | STUDIO | AT_WORK


def angles(motion: str, phase: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return one motion's angles (N, len(ANGLES)), degrees, at phases (N,) in [0, 1); each person has their own style.

    The same state of the generator gives the same styles: with other phases it shows the same people's movement.
    """
    pose = _EVERY[motion][0](phase, lambda low, high: random.uniform(generator, phase.shape, low, high))
    out = torch.zeros(len(phase), len(ANGLES), device=phase.device)
    for name, value in pose.items():
        out[:, _AT[name]] = value
    return clamp(out)


def sample(count: int, generator: torch.Generator, repertoire: str = "everyday", spread: float = 4.0) -> torch.Tensor:
    """Draw poses: for each person a motion of a repertoire, its phase and a style.

    Args:
        count: Number of people N.
        generator: Source of all random numbers.
        repertoire: A name in :data:`REPERTOIRES`.
        spread: Standard deviation of the noise on every angle, degrees.

    Returns:
        Angles (N, len(ANGLES)), degrees, within ``LIMITS``.

    Example:
        >>> tuple(sample(4, random.seeded(0), "robot").shape) == (4, len(ANGLES))
        True
    """
    motions = REPERTOIRES[repertoire]
    phase = random.uniform(generator, (count,))
    which = random.choice(generator, (count,), [share for _, share in motions.values()])
    every = torch.stack([angles(motion, phase, generator) for motion in motions])
    out = every[which, torch.arange(count, device=which.device)]
    out = out + spread * random.normal(generator, out.shape)
    for name, size in (("neck", 12), ("neck_side", 6), ("neck_twist", 25)):  # the head looks anywhere
        out[:, _AT[name]] += size * random.normal(generator, (count,))
    return clamp(out)


def clamp(degrees: torch.Tensor) -> torch.Tensor:
    """Clamp angles (N, len(ANGLES)), degrees, to ``LIMITS``."""
    low, high = torch.tensor([LIMITS[name] for name in ANGLES], device=degrees.device, dtype=degrees.dtype).T
    return torch.minimum(torch.maximum(degrees, low), high)


def rotations(degrees: torch.Tensor, bones: tuple[str, ...]) -> torch.Tensor:
    """Turn angles (N, len(ANGLES)), degrees, into the bones' rotations (N, J, 3, 3) for :func:`bodies.pose`."""
    a = dict(zip(ANGLES, torch.deg2rad(degrees).unbind(1), strict=True))
    zero = torch.zeros_like(degrees[:, 0])
    turn: dict[str, torch.Tensor] = {"Hips": about_x(a["lean"])}
    for bone in ("LowerBack", "Spine", "Spine1"):
        turn[bone] = _trunk(a["spine"] / 3, a["spine_side"] / 3, a["spine_twist"] / 3)
    for bone in ("Neck", "Neck1", "Head"):
        turn[bone] = _trunk(a["neck"] / 3, a["neck_side"] / 3, a["neck_twist"] / 3)
    for side, letter, sign in (("left", "L", 1.0), ("right", "R", -1.0)):
        b = {name: a[f"{side}_{name}"] for name in _SIDED}
        turn[f"{side.title()}Shoulder"] = about_y(-sign * b["shrug"])
        turn[f"{side.title()}Arm"] = _ball(b["arm_raise"], sign * b["arm_azimuth"], -sign * b["arm_twist"])
        turn[f"{side.title()}ForeArm"] = about_x(-b["elbow"])
        turn[f"{side.title()}Hand"] = about_x(-b["wrist"])
        turn[f"{letter}HipJoint"] = about_x(zero)
        # When the hips lean, the legs stay upright.
        turn[f"{side.title()}UpLeg"] = about_x(-a["lean"]) @ _ball(
            b["leg_raise"], sign * b["leg_azimuth"], -sign * b["leg_twist"]
        )
        turn[f"{side.title()}Leg"] = about_x(b["knee"])
        turn[f"{side.title()}Foot"] = about_x(-b["ankle"])
    identity = torch.eye(3, device=degrees.device).expand(len(degrees), 3, 3)
    return torch.stack([turn.get(bone, identity) for bone in bones], 1)


def _ball(raised: torch.Tensor, azimuth: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """Twist a hanging limb, then raise it in the direction ``azimuth`` (0 is -y, 90 degrees +x); radians."""
    return about_z(azimuth) @ about_x(-raised) @ about_z(-azimuth) @ about_z(twist)


def _trunk(forward: torch.Tensor, side: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """Bend forward, then to the side, then turn; radians."""
    return about_z(twist) @ about_y(side) @ about_x(forward)


def about_x(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (..., 3, 3) about x by angles (...), radians."""
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([i, o, o, o, c, -s, o, s, c], -1).unflatten(-1, (3, 3))


def about_y(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (..., 3, 3) about y by angles (...), radians."""
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, o, s, o, i, o, -s, o, c], -1).unflatten(-1, (3, 3))


def about_z(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (..., 3, 3) about z by angles (...), radians."""
    c, s, o, i = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, o, s, c, o, o, o, i], -1).unflatten(-1, (3, 3))
