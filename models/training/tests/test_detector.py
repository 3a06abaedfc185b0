import numpy as np

from cictrain import pool, train_detector


def box(x, y, width, em):
    return [[x, y], [x + width, y], [x + width, y + 1.4 * em], [x, y + 1.4 * em]]


def page(quads, rules=()):
    return pool.StoredPage(np.full((700, 600), 255, np.uint8), "scan", np.array(quads, np.float32), list(rules))


def perfect(truth):
    """A detector that answers with the targets of a page."""
    scale = train_detector.PAGE_WIDTH / pool.STORED_WIDTH
    rules = [(points * scale, flat, width * scale) for points, flat, width in truth.rules]
    return lambda image: train_detector.targets(truth.quads * scale, rules, *image.shape[2:])[0][None]


QUADS = [box(40, 40 + 30 * row, width, 18) for row, width in enumerate((300, 14, 90, 400, 25))] + [box(160, 70, 90, 18)]
RULES = [
    (np.array([[30, 300], [500, 300]], np.float32), True, 2.0),
    (np.array([[30, 300], [30, 600]], np.float32), False, 1.0),
]


def test_targets_give_back_every_line_and_rule():
    truth = page(QUADS, RULES)
    figures = train_detector.score_page(perfect(truth), truth).figures()
    assert figures == {"found": 1.0, "stray": 0.0, "merged": 0.0, "split": 0.0, "rules_f1": 1.0, "lines": len(QUADS)}


def test_cores_of_neighbours_stay_apart():
    quads = np.array([box(40, 40, 100, 18), box(144, 40, 100, 18), box(40, 40 + 1.2 * 18, 204, 18)], np.float32)
    maps, weights = train_detector.targets(quads, [], 128, 256)
    assert len(train_detector.boxes(maps[0])[0]) == 3
    assert weights.max() >= 6  # between them, where a merge would happen


def test_a_lone_digit_weighs_more_than_a_long_line():
    quads = np.array([box(40, 40, 9, 18), box(40, 90, 150, 18)], np.float32)
    _, weights = train_detector.targets(quads, [], 128, 256)
    assert weights[26, 22] == 8 and weights[51, 60] == 2


def test_a_box_over_two_lines_is_a_merge_and_two_boxes_on_one_a_split():
    truth = page([box(40, 40, 100, 18), box(160, 40, 100, 18), box(40, 120, 300, 18)])
    seen = page([box(40, 40, 220, 18), box(40, 120, 100, 18), box(160, 120, 180, 18)])
    score = train_detector.score_page(perfect(seen), truth)
    assert (score.merged, score.split, score.matched, score.stray) == (2, 1, 0, 0)


def test_a_sample_carries_its_truth_along():
    truth = page(QUADS, RULES)
    truth.image[:] = 255
    for quad in train_detector.cores(truth.quads):
        train_detector._fill(truth.image, quad, 0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        image, quads, rules = train_detector.sample(truth, rng)
        maps, _ = train_detector.targets(quads, rules, *image.shape)
        small = image.reshape(256, 2, 256, 2).mean((1, 3))
        inside, outside = small[maps[0] == 1], small[maps[0] == 0]
        if inside.size > 200:
            assert inside.mean() + 30 < outside.mean()
