import cv2
import numpy as np

from cictrain import lines
from cictrain.nets import LINE_HEIGHT


def page_with_mark(angle: float, em: float = 30.0):
    """A page with one black box at the left end of a line turned by `angle` (radians), and the line's full box."""
    page = np.full((600, 600), 255, np.uint8)
    along = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-np.sin(angle), np.cos(angle)])
    start, length, height = np.array([300.0, 300.0]) - 100 * along, 200, 1.4 * em
    quad = np.array([start, start + length * along, start + length * along + height * down, start + height * down])
    mark = np.array([start, start + em * along, start + em * along + height / 2 * down, start + height / 2 * down])
    cv2.fillPoly(page, [np.round(mark).astype(np.int32)], 0)
    return page, quad.astype(np.float32)


def test_a_crop_is_upright_and_forty_pixels_high():
    for angle in (0, 0.08, np.pi / 2, np.pi, -np.pi / 2):
        page, quad = page_with_mark(angle)
        crop = lines.crop(page, quad)
        assert crop.shape == (LINE_HEIGHT, round(200 * LINE_HEIGHT / 42))
        # The mark fills the upper half of the first em, wherever the line ran on the page.
        assert crop[3:17, 3:24].mean() < 20, angle
        assert crop[24:, 3:24].mean() > 235 and crop[:, 40:].mean() > 235, angle


def test_a_crop_outside_the_page_or_without_area_is_none():
    page, quad = page_with_mark(0)
    assert lines.crop(page, quad + 2000) is None
    assert lines.crop(page, np.repeat(quad[:1], 4, 0)) is None


def test_jitter_moves_a_box_by_a_fraction_of_its_height():
    rng = np.random.default_rng(0)
    _, quad = page_with_mark(0)
    moved = np.stack([lines.jitter(quad, rng) for _ in range(200)])
    offsets = np.abs(moved - quad)
    assert offsets.max() < 0.6 * 42
    assert 0 < np.abs(moved[:, :, 1] - quad[:, 1]).mean() < 0.1 * 42


def test_normalising_puts_ink_at_zero_and_paper_at_one_whatever_the_light():
    crop = np.full((LINE_HEIGHT, 100), 120, np.uint8)
    crop[10:30, 10:40] = 70
    out = lines.normalise(crop)
    assert out[20, 20] == 0 and out[0, 0] == 1


def test_normalising_an_empty_line_does_not_blow_up_its_noise():
    crop = np.full((LINE_HEIGHT, 100), 200, np.uint8)
    crop[::2] = 202
    assert lines.normalise(crop).min() > 0.9


def test_batches_are_padded_with_white():
    array = lines.batch([np.zeros((LINE_HEIGHT, 10), np.uint8)], 32)
    assert array.shape == (1, 1, LINE_HEIGHT, 32)
    assert (array[0, 0, :, 10:] == 1).all()


def test_a_crop_too_narrow_for_its_text_is_not_readable():
    crop = np.zeros((LINE_HEIGHT, 16), np.uint8)
    assert lines.readable(crop, "abcd")
    assert not lines.readable(crop, "abcc")  # a blank must fit between the two
    assert not lines.readable(None, "a")
