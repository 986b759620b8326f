import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import skeleton, targets


def people(*placed: dict[str, tuple[float, float]]) -> torch.Tensor:
    landmarks = torch.full((len(placed), 17, 2), torch.nan)
    for person, named in zip(landmarks, placed, strict=True):
        for name, xy in named.items():
            person[skeleton.INDEX[name]] = torch.tensor(xy)
    return landmarks


def limb(a: str, b: str) -> int:
    return skeleton.LIMBS.index((skeleton.INDEX[a], skeleton.INDEX[b]))


def test_cells_are_at_the_middle_of_their_pixels():
    assert targets.cell_centres(2, 3, 8)[1, 2].tolist() == [19.5, 11.5]
    assert targets.cell_centres(2, 3, 4)[1, 2].tolist() == [9.5, 5.5]
    assert targets.cell_centres(2, 3, 1)[1, 2].tolist() == [2, 1]


def test_equation_1_by_hand():
    parts = targets.part_maps(people({"head": (11.5, 3.5)}), 2, 4, stride=8)
    head = parts[skeleton.INDEX["head"]]
    # cells are 8 px apart, sigma^2 = 98
    expected = torch.tensor([[math.exp(-64 / 98), 1, math.exp(-64 / 98), math.exp(-256 / 98)],
                             [math.exp(-128 / 98), math.exp(-64 / 98), math.exp(-128 / 98), math.exp(-320 / 98)]])  # fmt: skip
    torch.testing.assert_close(head, expected)
    torch.testing.assert_close(parts[-1], 1 - expected)
    assert parts[:17].sum() == head.sum()  # nothing anywhere else


def test_people_combine_by_maximum():
    one, other = {"neck": (3.5, 3.5)}, {"neck": (19.5, 3.5)}
    both = targets.part_maps(people(one, other), 1, 3)
    apart = torch.maximum(targets.part_maps(people(one), 1, 3), targets.part_maps(people(other), 1, 3))
    torch.testing.assert_close(both[:17], apart[:17])
    assert both[0, 0].tolist() == pytest.approx([1, math.exp(-64 / 98), 1])


def test_equation_2_by_hand():
    """A limb along x from cell 1 to cell 3: two cells on each side of the axis are 8 px away or nearer."""
    fields = targets.limb_maps(people({"neck": (11.5, 11.5), "head": (27.5, 11.5)}), 4, 6)
    k = limb("neck", "head")
    x, y = fields[2 * k], fields[2 * k + 1]
    on = torch.zeros(4, 6)
    on[1, 0:5] = 1  # from 8 px before the start to 8 px after the end
    on[0, 1:4] = on[2, 1:4] = 1  # 8 px to either side; corners are sqrt(128) px away
    torch.testing.assert_close(x, on)
    assert (y == 0).all()
    assert fields.abs().sum() == on.sum()


def test_direction_runs_from_the_first_landmark_to_the_second():
    fields = targets.limb_maps(people({"left_elbow": (3.5, 3.5), "left_wrist": (27.5, 35.5)}), 6, 5)
    k = limb("left_elbow", "left_wrist")
    assert fields[2 * k, 0, 0] == pytest.approx(0.6)
    assert fields[2 * k + 1, 0, 0] == pytest.approx(0.8)


def test_crossing_limbs_give_their_mean():
    right = {"neck": (3.5, 19.5), "head": (35.5, 19.5)}
    down = {"neck": (19.5, 3.5), "head": (19.5, 35.5)}
    fields = targets.limb_maps(people(right, down), 5, 5)
    k = limb("neck", "head")
    assert fields[2 * k : 2 * k + 2, 2, 2].tolist() == [0.5, 0.5]
    assert fields[2 * k : 2 * k + 2, 2, 0].tolist() == [1, 0]
    assert fields[2 * k : 2 * k + 2, 0, 2].tolist() == [0, 1]


def test_missing_landmarks_and_limbs_without_length_are_not_drawn():
    assert (targets.limb_maps(people({"neck": (10, 10)}), 4, 4) == 0).all()
    assert (targets.limb_maps(people({"neck": (10, 10), "head": (10, 10)}), 4, 4) == 0).all()
    limbs, parts = targets.make(torch.zeros(0, 17, 2), 3, 4)
    assert limbs.shape == (32, 3, 4)
    assert (limbs == 0).all()
    assert (parts[:17] == 0).all()
    assert (parts[17] == 1).all()


def test_batches_equal_single_images():
    torch.manual_seed(0)
    landmarks = torch.rand(3, 2, 17, 2) * 80
    landmarks[0, 1] = torch.nan
    limbs, parts = targets.make(landmarks, 10, 12)
    for i in range(3):
        one_limbs, one_parts = targets.make(landmarks[i], 10, 12)
        torch.testing.assert_close(limbs[i], one_limbs)
        torch.testing.assert_close(parts[i], one_parts)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-20, 100)] * 4), min_size=1, max_size=3),
    st.sampled_from([4, 8]),
)
def test_against_a_slow_loop_over_cells(segments, stride):
    placed = [{"neck": (a, b), "head": (c, d)} for a, b, c, d in segments]
    limbs, parts = targets.make(people(*placed), 5, 6, stride)
    k = limb("neck", "head")
    for row in range(5):
        for column in range(6):
            p = np.array([stride * (column + 0.5) - 0.5, stride * (row + 0.5) - 0.5])
            bump, fields, close_call = 0.0, [], False
            for a, b, c, d in np.float32(segments).astype(float):
                start, end = np.array([a, b]), np.array([c, d])
                bump = max(bump, math.exp(-((p - start) ** 2).sum() / 98))
                length = np.linalg.norm(end - start)
                if length == 0:
                    continue
                t = min(max(np.dot(p - start, end - start) / length**2, 0), 1)
                distance = np.linalg.norm(p - start - t * (end - start))
                close_call |= abs(distance - 8) < 1e-3 or length < 1e-3
                if distance <= 8:
                    fields.append((end - start) / length)
            assert parts[0, row, column] == pytest.approx(bump, abs=1e-5)
            if not close_call:
                expected = np.mean(fields, axis=0) if fields else np.zeros(2)
                np.testing.assert_allclose(limbs[2 * k : 2 * k + 2, row, column].numpy(), expected, atol=1e-4)
