"""Agreement, PCK (section VII-B) against a slow loop and by hand, and bootstrap intervals."""

import numpy as np
import pytest
from hypothesis import given as draws
from hypothesis import settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dihpose import metrics
from dihpose.metrics import accounted, agreement
from dihpose.skeleton import UPPER_BODY

THRESHOLDS, KAPPAS = (0.0, 0.3, 0.6), (0.05, 0.1, 0.15)


def slow_counts(given, found, eta, kappa):
    """Hits, predictions and truths of each landmark type, one pair after the other, as in section VII-B."""
    hits, predictions, truths = (np.zeros(17, int) for _ in range(3))
    for kind in range(17):
        q = [(p, person[kind]) for p, person in enumerate(given) if not np.isnan(person[kind, 0])]
        candidates = [x[kind] for x in found if not np.isnan(x[kind, 0]) and x[kind, 2] >= eta]
        pairs = []
        for i, (p, truth) in enumerate(q):
            ys = [y for y in given[p][:, 1] if not np.isnan(y)]
            h = max(ys) - min(ys)
            for j, candidate in enumerate(candidates):
                distance = np.hypot(*(candidate[:2] - truth))
                if distance <= kappa * h:
                    pairs.append((distance / h, i, j))
        taken_truths, taken = set(), set()
        for _, i, j in sorted(pairs):  # closest first, each once
            if i not in taken_truths and j not in taken:
                taken_truths.add(i)
                taken.add(j)
        hits[kind], predictions[kind], truths[kind] = len(taken), len(candidates), len(q)
    return hits, predictions, truths


def random_people(rng, count, columns):
    people = rng.uniform(0, 60, (count, 17, columns))
    if columns == 3:
        people[..., 2] = rng.choice([0.1, 0.3, 0.5, 0.9], (count, 17))
    people[rng.random((count, 17)) < 0.25] = np.nan
    return people


@settings(max_examples=60, deadline=None)
@draws(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 4))
def test_one_pass_counts_what_the_slow_loop_counts(seed, truths, predictions):
    rng = np.random.default_rng(seed)
    given, found = random_people(rng, truths, 2), random_people(rng, predictions, 3)
    result = metrics.evaluate(given, found, THRESHOLDS, KAPPAS)
    for e, eta in enumerate(THRESHOLDS):
        for k, kappa in enumerate(KAPPAS):
            hits, predicted, there = slow_counts(given, found, eta, kappa)
            np.testing.assert_array_equal(result.hits[e, k], hits)
            np.testing.assert_array_equal(result.predictions[e], predicted)
            np.testing.assert_array_equal(result.truths, there)


def person(landmarks: dict[int, tuple], columns: int) -> np.ndarray:
    out = np.full((17, columns), np.nan)
    for index, values in landmarks.items():
        out[index] = values
    return out


def test_pck_by_hand():
    """A person 100 px tall: at kappa 0.1 a hit is at most 10 px off."""
    given = person({0: (50, 0), 1: (50, 50), 2: (50, 100)}, 2)[None]
    found = person({0: (50, 9, 0.9), 1: (50, 61, 0.9), 3: (0, 0, 0.4)}, 3)[None]
    result = metrics.evaluate(given, found, (0.1, 0.5), (0.05, 0.1, 0.15))
    assert result.hits[0, :, 0].tolist() == [0, 1, 1]
    assert result.hits[0, :, 1].tolist() == [0, 0, 1]
    assert result.predictions.sum(1).tolist() == [3, 2]
    # Types 0 and 1 hit at 2/3 and 1/3 of the kappas; type 3 never does, and at eta 0.5 it is not predicted.
    np.testing.assert_allclose(result.precision(), [(2 / 3 + 1 / 3 + 0) / 3, (2 / 3 + 1 / 3) / 2])
    np.testing.assert_allclose(result.recall(), [1 / 3, 1 / 3])
    assert result.precision([0], kappa=0.1).tolist() == [1, 1]
    assert result.recall([1], kappa=0.1).tolist() == [0, 0]
    best = result.best()
    assert best["threshold"] == 0.5
    assert best["f"] == pytest.approx(2 * 0.5 * (1 / 3) / (0.5 + 1 / 3))
    head = result.per_landmark(0.1)[1]
    assert head["landmark"] == "head" and head["recall"] == pytest.approx(1 / 3)


def test_a_landmark_is_hit_once_by_the_closest():
    given = np.stack([person({0: (0, 0), 1: (0, 100)}, 2), person({0: (8, 0), 1: (8, 100)}, 2)])
    found = np.stack([person({0: (7, 0, 1)}, 3), person({0: (9, 0, 1)}, 3), person({0: (5, 0, 1)}, 3)])
    result = metrics.evaluate(given, found, (0.1,), (0.1,))
    assert (result.hits[0, 0, 0], result.predictions[0, 0], result.truths[0]) == (2, 3, 2)


def test_each_person_has_the_tolerance_of_their_own_height():
    tall, small = person({0: (0, 0), 1: (0, 200)}, 2), person({0: (100, 0), 1: (100, 50)}, 2)
    found = np.stack([person({0: (15, 0, 1)}, 3), person({0: (115, 0, 1)}, 3)])
    assert metrics.evaluate(np.stack([tall, small]), found, (0.1,), (0.1,)).hits[0, 0, 0] == 1


def test_evaluations_add_up_and_refuse_others():
    rng = np.random.default_rng(0)
    images = [(random_people(rng, 2, 2), random_people(rng, 2, 3)) for _ in range(3)]
    parts = [metrics.evaluate(*image, THRESHOLDS, KAPPAS) for image in images]
    total = parts[0] + parts[1] + parts[2]
    assert total.truths.sum() == sum(part.truths.sum() for part in parts)
    with pytest.raises(ValueError, match="different thresholds or kappas"):
        parts[0] + metrics.evaluate(*images[0])


def test_perfect_people_score_one_everywhere_and_the_curve_has_all_thresholds():
    rng = np.random.default_rng(1)
    given = rng.uniform(0, 300, (3, 17, 2))
    found = np.concatenate([given[::-1], np.ones((3, 17, 1))], -1)
    result = metrics.evaluate(given, found)
    assert result.best(UPPER_BODY) == pytest.approx({"threshold": 0.05, "ap": 1, "ar": 1, "f": 1})
    curve = result.curve()
    assert [row["threshold"] for row in curve] == list(metrics.THRESHOLDS)
    assert all(row["f"] == row["ap_upper"] == 1 for row in curve)


def test_nobody_given_and_nobody_found():
    empty = metrics.evaluate(np.zeros((0, 17, 2)), np.zeros((0, 17, 3)))
    assert empty.truths.sum() == 0 and (empty.f_score() == 0).all()
    false = metrics.evaluate(np.zeros((0, 17, 2)), np.ones((1, 17, 3)))
    assert (false.precision() == 0).all() and np.isnan(false.recall()).all()


# --- Agreement, and found people where annotations may be incomplete ----------------------------------------------------


def test_agreement_by_hand():
    given = np.full((2, 17, 2), np.nan)
    given[0, :3] = [[0, 0], [10, 0], [20, 0]]
    given[1, :2] = [[100, 100], [110, 100]]
    found = np.full((2, 17, 2), np.nan)
    found[0, :2] = [[100, 101], [110, 109]]  # the second person, one landmark 9 away
    found[1, :3] = [[0, 2], [np.nan, np.nan], [20, 0]]  # the first, one landmark missing
    result = agreement(given, found, tolerance=3)
    assert (result.people, result.found_people, result.landmarks, result.found, result.within) == (2, 2, 5, 4, 3)
    assert sorted(result.distances) == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("given", "found", "counts"),
    [
        (np.stack([np.zeros((17, 2)), np.full((17, 2), 50)]), np.zeros((1, 17, 2)), (1, 34, 17)),  # paired one to one
        (np.zeros((1, 17, 2)), np.zeros((0, 17, 2)), (0, 17, 0)),  # nobody found
        (np.zeros((1, 17, 2)), np.full((1, 17, 3), 0.5), (1, 17, 17)),  # scores beside the coordinates do not count
        (np.full((1, 17, 3), 0.5), np.zeros((1, 17, 2)), (1, 17, 17)),
    ],
)
def test_agreement_of(given, found, counts):
    result = agreement(given, found, tolerance=3)
    assert (result.found_people, result.landmarks, result.within) == counts


def test_what_becomes_of_found_landmarks_by_hand():
    """A person 100 px tall (head and hip, neck between), and a second person who is not given."""
    given = np.full((1, 17, 2), np.nan)
    given[0, [0, 1, 3]] = [(50, 50), (50, 0), (50, 100)]
    found = np.full((2, 17, 3), np.nan)
    found[0, [0, 1]] = [(200, 50, 0.9), (200, 0, 0.9)]  # the other one
    # 9 px off, 12 px off, exact, and a wrist
    found[1, [0, 1, 3, 8]] = [(50, 59, 0.9), (50, 12, 0.9), (50, 100, 0.9), (90, 60, 0.9)]
    assert accounted(given, found) == {"hit": 2, "elsewhere": 1, "not_given": 1, "of_nobody": 2}
    assert accounted(given, found, kappa=0.13) == {"hit": 3, "elsewhere": 0, "not_given": 1, "of_nobody": 2}
    assert accounted(given, found[:1]) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 2}
    assert accounted(given[:0], found) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 6}
    assert sum(accounted(given, found[:0]).values()) == 0
    alone = np.full((1, 17, 2), np.nan)
    alone[0, 0] = (50, 59)  # no height, so no tolerance
    assert accounted(alone, found) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 6}


@pytest.mark.filterwarnings("error")
@settings(deadline=None)
@draws(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31))
def test_found_landmarks_are_all_accounted_for_and_no_more_of_them_hit_than_one_by_one(people, others, seed):
    """Pairing people cannot hit more than pairing each landmark on its own; the order of people does not matter."""
    rng = np.random.default_rng(seed)
    given, found = rng.uniform(0, 60, (people, 17, 2)), rng.uniform(0, 60, (others, 17, 3))
    given[rng.random((people, 17)) < 0.3] = np.nan
    found[rng.random((others, 17)) < 0.3] = np.nan
    found[..., 2] = 1.0
    counts = accounted(given, found, kappa=0.3)
    assert sum(counts.values()) == (~np.isnan(found[..., 0])).sum() and min(counts.values()) >= 0
    apart = np.linalg.norm(given[:, None] - found[None, ..., :2], axis=-1)
    within = apart <= 0.3 * np.array([np.ptp(y[~np.isnan(y)]) for y in given[..., 1]]).reshape(-1, 1, 1)
    one_by_one = sum(within[:, :, k][linear_sum_assignment(~within[:, :, k])].sum() for k in range(17))
    assert counts["hit"] <= one_by_one
    assert counts["hit"] == accounted(given[::-1], found[::-1], kappa=0.3)["hit"]


# --- Intervals ---------------------------------------------------------------------------------------------------------


def image(hits: int, predictions: int, truths: int) -> metrics.Evaluation:
    """An image with these counts at threshold 0.3 and kappa 0.1, and no hits elsewhere."""
    counts = metrics.Evaluation(
        THRESHOLDS, KAPPAS, np.zeros((3, 3, 17), int), np.zeros((3, 17), int), np.zeros(17, int)
    )
    counts.hits[1, 1, 4], counts.predictions[1, 5], counts.truths[6] = hits, predictions, truths
    return counts


def images(seed: int, count: int) -> list[metrics.Evaluation]:
    rng = np.random.default_rng(seed)
    hits = rng.integers(0, 9, count)
    return [
        image(*row) for row in np.stack([hits, hits + rng.integers(0, 5, count), hits + rng.integers(1, 7, count)], 1)
    ]


def width(bounds: tuple[float, float]) -> float:
    return bounds[1] - bounds[0]


def test_an_interval_by_hand():
    """Three of six images have 9 hits in 10 predictions and 20 truths, three have 5. All six draws are of one kind in 1.6 % of
    the cases on each side, at least five in 11 %. So each bound has five images of one kind and one of the other."""
    parts = [image(9, 10, 20), image(5, 10, 20)] * 3
    found = metrics.interval(parts, 0.3, 0.1)
    assert found["precision"] == pytest.approx(((9 + 5 * 5) / 60, (5 * 9 + 5) / 60))
    assert found["recall"] == pytest.approx(((9 + 5 * 5) / 120, (5 * 9 + 5) / 120))


def test_intervals_agree_with_a_slow_bootstrap():
    parts, repeats = images(0, 15), 8000
    rng = np.random.default_rng(1)
    counts = [(p.hits[1, 1].sum(), p.predictions[1].sum(), p.truths.sum()) for p in parts]
    precision, recall = [], []
    for _ in range(repeats):
        hits = predictions = truths = 0
        for i in rng.integers(0, len(parts), len(parts)):
            hits, predictions, truths = hits + counts[i][0], predictions + counts[i][1], truths + counts[i][2]
        precision.append(hits / predictions)
        recall.append(hits / truths)
    found = metrics.interval(parts, 0.3, 0.1, repeats)
    for name, values in (("precision", precision), ("recall", recall)):
        wanted = sorted(values)[round(0.025 * repeats)], sorted(values)[round(0.975 * repeats)]
        assert found[name] == pytest.approx(wanted, abs=0.05 * width(wanted))


@settings(max_examples=50, deadline=None)
@draws(st.integers(0, 2**32 - 1), st.integers(4, 40))
def test_an_interval_contains_what_was_counted(seed, count):
    parts = images(seed, count)
    counted = sum(parts[1:], parts[0]).pooled(0.3, 0.1)
    found = metrics.interval(parts, 0.3, 0.1)
    for name, (low, high) in found.items():
        assert 0 <= low <= counted[name] <= high <= 1


def test_equal_images_give_an_interval_of_width_zero():
    found = metrics.interval([image(3, 4, 5)] * 7, 0.3, 0.1)
    assert found == {"precision": (3 / 4, 3 / 4), "recall": (3 / 5, 3 / 5)}
    assert metrics.interval([image(3, 4, 5)] * 7, 0.3, 0.05)["precision"] == (0, 0)  # another kappa: no hits there
    assert metrics.interval([image(0, 0, 5)] * 7, 0.3, 0.1) == {"precision": (0, 0), "recall": (0, 0)}


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    one, same, other = (metrics.interval(images(3, 10), 0.3, 0.1, seed=seed) for seed in (0, 0, 1))
    assert one == same != other


# --- Bootstrap of the tables' scores -----------------------------------------------------------------------------------


def evaluated(seed: int, count: int) -> list[metrics.Evaluation]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 3, (count, 2))
    return [
        metrics.evaluate(random_people(rng, p, 2), random_people(rng, q, 3), THRESHOLDS, (0.3, 0.6)) for p, q in sizes
    ]


@pytest.mark.parametrize("landmarks", [None, UPPER_BODY])
def test_each_draw_of_the_bootstrap_is_a_sum_over_its_images_at_its_best_threshold(landmarks):
    parts = evaluated(3, 6)
    found = metrics.bootstrap(parts, landmarks, repeats=25, seed=4)
    weights = np.random.default_rng(4).multinomial(6, np.full(6, 1 / 6), 25)
    assert weights.sum(1).tolist() == [6] * 25 and len({tuple(row) for row in weights}) > 20
    for r, row in enumerate(weights):
        images_ = [part for part, times in zip(parts, row, strict=True) for _ in range(times)]
        best = sum(images_[1:], images_[0]).best(landmarks)
        for score in ("ap", "ar", "f"):
            assert found[score][r] == pytest.approx(np.nan_to_num(best[score])), (r, score)
    assert found["f"].min() < found["f"].max() < 1


def test_images_without_people_score_0():
    """A draw without predictions has no precision: it counts as 0."""
    empty = metrics.evaluate(np.zeros((0, 17, 2)), np.zeros((0, 17, 3)), THRESHOLDS, KAPPAS)
    found = metrics.bootstrap([empty] * 3, repeats=5)
    assert all(values.tolist() == [0] * 5 for values in found.values())


def test_the_same_seed_draws_the_same_images_so_that_differences_are_paired():
    a = evaluated(5, 12)
    ours, again, other = (metrics.bootstrap(a, seed=seed)["f"] for seed in (0, 0, 1))
    assert np.array_equal(ours, again) and not np.array_equal(ours, other)
    assert ours.std() > 0 and len(ours) == 200
    # Two networks that differ on one image only: their paired difference varies less than an unpaired one.
    b = [*a[:-1], metrics.Evaluation(THRESHOLDS, (0.3, 0.6), 0 * a[-1].hits, a[-1].predictions, a[-1].truths)]
    paired = ours - metrics.bootstrap(b, seed=0)["f"]
    unpaired = ours - metrics.bootstrap(b, seed=1)["f"]
    assert paired.min() >= 0 and paired.std() < unpaired.std()


@settings(max_examples=20, deadline=None)
@draws(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_one_image_a_group_is_the_bootstrap_over_images_bit_for_bit(seed, count):
    parts, names = evaluated(seed, count), [f"recording {i:02d}" for i in range(count)]
    plain, grouped = metrics.bootstrap(parts, repeats=20, seed=3), metrics.bootstrap(parts, None, 20, 3, names)
    assert all(np.array_equal(plain[score], grouped[score]) for score in ("ap", "ar", "f"))
    assert metrics.interval(parts, 0.3, 0.6) == metrics.interval(parts, 0.3, 0.6, groups=names)


@settings(max_examples=20, deadline=None)
@draws(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 4))
def test_groups_are_drawn_whole(seed, count, size):
    """Groups of several images give what their sums give as images of their own, in whatever order the images come."""
    parts = evaluated(seed, count * size)
    members = [i % count for i in range(len(parts))]
    sums = [sum(parts[i + count :: count], parts[i]) for i in range(count)]
    grouped, whole = metrics.bootstrap(parts, repeats=20, groups=members), metrics.bootstrap(sums, repeats=20)
    for score in ("ap", "ar", "f"):
        assert grouped[score] == pytest.approx(whole[score])
    assert metrics.interval(parts, 0.3, 0.6, groups=members) == metrics.interval(sums, 0.3, 0.6)


def test_copies_of_images_in_one_group_narrow_no_interval():
    alone = evaluated(8, 10)
    copies = [part for part in alone for _ in range(5)]
    honest = metrics.bootstrap(copies, groups=[i // 5 for i in range(50)])["f"].std()
    assert (
        honest == pytest.approx(metrics.bootstrap(alone)["f"].std())
        and honest > 1.5 * metrics.bootstrap(copies)["f"].std()
    )


# --- Groups of images --------------------------------------------------------------------------------------------------


def test_with_an_image_a_group_nothing_changes():
    parts = evaluated(3, 6)
    for groups in (range(6), [10, 11, 12, 13, 14, 20], list("abcdef")):
        for name, values in metrics.bootstrap(parts, seed=4).items():
            assert np.array_equal(metrics.bootstrap(parts, seed=4, groups=groups)[name], values)
        parts_ = images(0, 6)
        assert metrics.interval(parts_, 0.3, 0.1, groups=groups) == metrics.interval(parts_, 0.3, 0.1)


def test_with_one_group_every_draw_is_the_whole_set():
    parts = evaluated(3, 6)
    best = sum(parts[1:], parts[0]).best()
    for name, values in metrics.bootstrap(parts, repeats=20, groups=[7] * 6).items():
        assert values.tolist() == pytest.approx([best[name]] * 20)
    counted = sum(images(0, 6)[1:], images(0, 6)[0]).pooled(0.3, 0.1)
    for name, (low, high) in metrics.interval(images(0, 6), 0.3, 0.1, groups=[7] * 6).items():
        assert low == high == pytest.approx(counted[name])


def one_person(hit: bool) -> metrics.Evaluation:
    given = np.arange(34.0).reshape(1, 17, 2)
    found = np.dstack([given + (0 if hit else 100), np.full((1, 17), 0.9)])
    return metrics.evaluate(given, found, (0.5,), (0.1,))


def test_two_groups_by_hand():
    """Group a: two people found; group b: four missed. A draw is a twice (AR 1), b twice (0), or both (2 of 6), the last with
    probability one half."""
    parts = [one_person(hit) for hit in (True, False, False, True, False, False)]
    draws = metrics.bootstrap(parts, repeats=2000, groups=list("abbabb"))
    shares = {round(float(value), 6): float(np.mean(np.isclose(draws["ar"], value))) for value in set(draws["ar"])}
    assert set(shares) == {0.0, round(1 / 3, 6), 1.0}
    assert [shares[key] for key in sorted(shares)] == pytest.approx([0.25, 0.5, 0.25], abs=0.04)
    # By images there are seven possible values, and two or more hits of six in most draws.
    assert set(np.round(6 * metrics.bootstrap(parts, repeats=2000)["ar"]).astype(int)) == set(range(7))


def test_intervals_of_groups_by_hand():
    """Two groups, one with a precision of 0.9 and recall 0.45, one with 0.5 and 0.25: both ends are reached in a quarter."""
    parts = [image(9, 10, 20), image(5, 10, 20)] * 3
    found = metrics.interval(parts, 0.3, 0.1, groups=[1, 2] * 3)
    assert found == {"precision": (0.5, 0.9), "recall": (0.25, 0.45)}


def test_there_is_a_group_for_each_image():
    with pytest.raises(ValueError, match="2 groups for 6 images: give one for each image"):
        metrics.bootstrap(evaluated(3, 6), groups=[0, 1])
