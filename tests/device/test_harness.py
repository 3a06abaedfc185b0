"""The virtual camera and the virtual GPIO lines are held to their word, through programs that know nothing of them."""

import subprocess
from itertools import groupby
from pathlib import Path

import pytest
from PIL import Image

from gpio import Chip
from vivid import Vivid

BY_PATH = Path("/dev/v4l/by-path/platform-vivid.0-video-index0")


def drawing(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture like no other seed's, with hard edges and all colours."""
    small = Image.effect_mandelbrot((64, 64), (-2, -1.5, 1, 1.5), 20 + seed)
    return Image.merge("RGB", (small, small.rotate(90), small.rotate(180))).resize(size, Image.Resampling.NEAREST)


def start_capture(camera: Vivid, file: Path, frames: int) -> subprocess.Popen:
    """v4l2-ctl, writing that many frames; the first two of the driver's buffers are not looked at."""
    return subprocess.Popen(
        ["v4l2-ctl", "--device", camera.capture_node, "--stream-mmap=3", "--stream-skip=2"]
        + [f"--stream-count={frames}", f"--stream-to={file}"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def capture(camera: Vivid, file: Path) -> bytes:
    """One frame."""
    with start_capture(camera, file, 1) as program:
        assert program.wait(60) == 0, program.stderr.read()
    return file.read_bytes()


def wait_for_frames(file: Path, program: subprocess.Popen):
    """Until the capture is under way."""
    for _ in range(600):
        if file.exists() and file.stat().st_size > 0:
            return
        try:
            program.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    raise AssertionError("no frame was captured")


@pytest.mark.parametrize("pixel_format", ["YUYV", "NV12", "RGB3", "GREY"])
def test_a_picture_is_captured_byte_for_byte_in(pixel_format, tmp_path):
    with Vivid(1280, 720, pixel_format) as camera:
        shown = camera.show(drawing(camera.size, 0))
        assert capture(camera, tmp_path / "frame") == shown


def test_a_picture_of_eight_megapixels_is_captured_byte_for_byte(tmp_path):
    with Vivid(3840, 2160) as camera:
        shown = camera.show(drawing(camera.size, 0))
        assert capture(camera, tmp_path / "frame") == shown


def test_the_picture_changes_between_two_frames_of_a_stream(tmp_path):
    file = tmp_path / "frames"
    with Vivid(1280, 720) as camera:
        shown = [camera.show(drawing(camera.size, 0))]
        with start_capture(camera, file, 60) as program:
            wait_for_frames(file, program)
            shown.append(camera.show(drawing(camera.size, 1)))
            shown.append(camera.show(drawing(camera.size, 2)))
            assert program.wait(60) == 0, program.stderr.read()
    captured = file.read_bytes()
    size = len(shown[0])
    frames = [captured[start : start + size] for start in range(0, len(captured), size)]
    assert len(frames) == 60
    assert [frame for frame, _ in groupby(frames)] == shown


def assert_stream_broke(program):
    # Which call finds that out, the one that hands in a buffer or the one that takes it out, is a matter of chance.
    said = program.stderr.read()
    assert "qbuf error" in said or "VIDIOC_DQBUF: failed" in said, said


def test_an_unplugged_camera_vanishes_under_its_user_and_comes_back_by_the_same_name(tmp_path):
    file = tmp_path / "frames"
    with Vivid(1280, 720) as camera:
        shown = camera.show(drawing(camera.size, 0))
        assert BY_PATH.resolve() == camera.capture_node
        with start_capture(camera, file, 100_000) as program:
            wait_for_frames(file, program)
            camera.unplug()
            assert not camera.capture_node.exists()
            program.wait(60)
            assert_stream_broke(program)
        camera.plug()
        assert BY_PATH.resolve() == camera.capture_node
        assert capture(camera, tmp_path / "frame") == shown


def test_a_camera_that_drops_every_frame_delivers_none_until_it_recovers(tmp_path):
    file = tmp_path / "frames"
    with Vivid(1280, 720) as camera:
        shown = camera.show(drawing(camera.size, 0))
        camera.drop(100)
        with start_capture(camera, file, 1) as program:
            with pytest.raises(subprocess.TimeoutExpired):
                program.wait(3)
            assert file.stat().st_size == 0
            camera.drop(0)
            assert program.wait(60) == 0
        assert file.read_bytes() == shown


def test_a_fatal_error_ends_a_stream_and_the_next_one_works(tmp_path):
    file = tmp_path / "frames"
    with Vivid(1280, 720) as camera:
        shown = camera.show(drawing(camera.size, 0))
        with start_capture(camera, file, 100_000) as program:
            wait_for_frames(file, program)
            camera.fail_stream()
            program.wait(60)
            assert_stream_broke(program)
        assert capture(camera, tmp_path / "frame") == shown


def test_a_stream_fails_to_start_once(tmp_path):
    with Vivid(1280, 720) as camera:
        shown = camera.show(drawing(camera.size, 0))
        camera.fail_start()
        with start_capture(camera, tmp_path / "frames", 1) as program:
            program.wait(60)
            assert "VIDIOC_STREAMON" in program.stderr.read()
        assert capture(camera, tmp_path / "frame") == shown


def gpio(tool: str, *words: str) -> str:
    return subprocess.run([tool, *words], check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.fixture
def chip():
    with Chip("panel", "button", "lamp") as chip:
        yield chip


def test_lines_are_found_by_the_chips_label_and_their_names(chip):
    assert f"{chip.path.name} [panel] (2 lines)" in gpio("gpiodetect")
    assert gpio("gpiofind", "lamp") == f"{chip.path.name} 1"


def test_a_pressed_button_reads_high_until_it_is_released(chip):
    assert gpio("gpioget", "panel", "0") == "0"
    chip.press("button")
    assert gpio("gpioget", "panel", "0") == "1"
    chip.release("button")
    assert gpio("gpioget", "panel", "0") == "0"


def test_each_press_and_release_is_an_edge(chip):
    command = "timeout 60 stdbuf -oL gpiomon --format=%e panel 0".split()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        while "gpiomon" not in gpio("gpioinfo", "panel"):
            assert program.poll() is None
        for _ in range(2):
            chip.press("button")
            assert program.stdout.readline() == "1\n"
            chip.release("button")
            assert program.stdout.readline() == "0\n"
        program.terminate()


def test_a_driven_output_has_its_level_until_it_is_let_go(chip):
    with subprocess.Popen(["gpioset", "--mode=signal", "panel", "1=1"]) as program:
        while not chip.level("lamp"):
            assert program.poll() is None
        assert not chip.level("button")
        program.terminate()
    assert not chip.level("lamp")
