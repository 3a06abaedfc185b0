"""A V4L2 camera that sees the picture it is shown, of the kernel's module vivid.

It has two nodes. What is written to the output, as if an HDMI source sent it, is what the capture node sees, byte for
byte, as long as both have the same timings and pixel format.
"""

import errno
import fcntl
import mmap
import os
import select
import struct
import subprocess
import threading
import time
from pathlib import Path

from PIL import Image

DRIVER = Path("/sys/bus/platform/drivers/vivid")
DEVICE = "vivid.0"
NODES = Path("/sys/class/video4linux")

# One HDMI input, one HDMI output, neither of them crops or scales.
PARAMETERS = (
    "n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1 ccs_cap_mode=0 ccs_out_mode=0"
)


class Vivid:
    """The camera; entering loads it, leaving takes the module away, which fails while somebody holds a node open."""

    def __init__(self, width: int = 1920, height: int = 1080, pixel_format: str = "YUYV", frames_per_second: int = 30):
        """Width and height from 1280x720 to 4096x2160 (smaller ones need more frames per second); the pixel format is YUYV, NV12, RGB3 or GREY.

        Pixel format and size of the capture node must stay as they are set here; others see a test pattern.
        """
        self.size = (width, height)
        self.pixel_format = pixel_format
        # The other blanking fits usual shapes only.
        self.timings = f"cvt,width={width},height={height},fps={frames_per_second},reduced-blanking=2"
        self._frame: bytes | None = None
        self._output: Output | None = None

    def __enter__(self) -> "Vivid":
        subprocess.run(["modprobe", "vivid", *PARAMETERS.split()], check=True)
        self._configure()
        return self

    def __exit__(self, *_):
        self.blank()
        subprocess.run(["modprobe", "--remove", "vivid"], check=True)

    def _configure(self):
        self.capture_node, output_node = node("cap"), node("out")
        v4l2(self.capture_node, f"--set-dv-bt-timings={self.timings}")
        v4l2(output_node, f"--set-dv-bt-timings={self.timings}")
        v4l2(self.capture_node, f"--set-fmt-video=pixelformat={self.pixel_format}")
        v4l2(output_node, f"--set-fmt-video-out=pixelformat={self.pixel_format}")
        self.control(loop_video=1, osd_text_mode=2)

    def control(self, **values: int):
        """Sets controls of the capture node."""
        v4l2(self.capture_node, "--set-ctrl=" + ",".join(f"{name}={value}" for name, value in values.items()))

    def show(self, picture: Image.Image) -> bytes:
        """What the camera sees from now on, also in the middle of a stream. Returns the bytes of a frame of it."""
        if picture.size != self.size:
            raise ValueError(f"the picture has {picture.size} pixels, the camera {self.size}")
        self._show(encode(picture, self.pixel_format))
        return self._frame

    def _show(self, frame: bytes):
        self._frame = frame
        if self._output is None:
            self._output = Output(node("out"), frame)
        else:
            self._output.show(frame)

    def blank(self):
        """Shows nothing any more: the camera sees vivid's test pattern."""
        self._frame = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def unplug(self):
        """Takes the camera away as a pulled cable does: its nodes vanish, who holds one open gets ENODEV."""
        (DRIVER / "unbind").write_text(DEVICE)
        if self._output is not None:
            self._output.close()
            self._output = None

    def plug(self):
        """Brings the camera back, seeing what it last saw."""
        (DRIVER / "bind").write_text(DEVICE)
        self._configure()
        if self._frame is not None:
            self._show(self._frame)

    def drop(self, percent: int):
        """Loses that share of the frames; with 100 the camera streams and never delivers one."""
        self.control(percentage_of_dropped_buffers=percent)

    def fail_stream(self):
        """Ends the running stream with a fatal error, EIO; the next one works and sees the same picture."""
        self.control(inject_fatal_streaming_error=1)
        # It has ended the output's stream, too.
        frame = self._frame
        self.blank()
        if frame is not None:
            self._show(frame)

    def fail_start(self):
        """Lets the next start of a stream fail."""
        self.control(inject_vidioc_streamon_error=1)

    def mark_broken(self):
        """Marks the next frame as broken, V4L2_BUF_FLAG_ERROR."""
        self.control(inject_v4l2_buf_flag_error=1)


class Output:
    """Streams a frame to an output node, over and over, from a thread.

    v4l2-ctl can do the same with a file, but not change the picture between two frames.
    """

    # linux/videodev2.h
    TYPE_OUTPUT, MEMORY_MMAP, FIELD_NONE = 2, 1, 1
    REQBUFS, QUERYBUF, QBUF, DQBUF, STREAMON = 0xC0145608, 0xC0585609, 0xC058560F, 0xC0585611, 0x40045612
    BUFFER = struct.Struct("IIIII4x16s16sIIQIIi4x")
    # Fewer, and vivid runs out of them while one is being filled.
    BUFFERS = 3

    def __init__(self, path: Path, frame: bytes):
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.frame = frame
        self.changed = threading.Condition()
        self.shown = None
        self.ending = False
        fcntl.ioctl(self.fd, self.REQBUFS, struct.pack("IIIIB3x", self.BUFFERS, self.TYPE_OUTPUT, self.MEMORY_MMAP, 0, 0))
        self.memory = [self._map(index) for index in range(self.BUFFERS)]
        self.held = [None] * self.BUFFERS
        for index in range(self.BUFFERS):
            self._queue(index)
        fcntl.ioctl(self.fd, self.STREAMON, struct.pack("i", self.TYPE_OUTPUT))
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._wait()

    def _buffer(self, index: int = 0, used: int = 0) -> bytearray:
        return bytearray(
            self.BUFFER.pack(
                index, self.TYPE_OUTPUT, used, 0, self.FIELD_NONE, b"", b"", 0, self.MEMORY_MMAP, 0, 0, 0, 0
            )
        )

    def _map(self, index: int) -> mmap.mmap:
        buffer = self._buffer(index)
        fcntl.ioctl(self.fd, self.QUERYBUF, buffer)
        *_, offset, length, _, _ = self.BUFFER.unpack(buffer)
        if length != len(self.frame):
            raise ValueError(f"a frame of the camera has {length} bytes, the picture {len(self.frame)}")
        return mmap.mmap(self.fd, length, offset=offset)

    def _queue(self, index: int):
        if self.held[index] is not self.frame:
            self.held[index] = self.frame
            self.memory[index][:] = self.held[index]
        fcntl.ioctl(self.fd, self.QBUF, self._buffer(index, len(self.memory[index])))

    def _run(self):
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        try:
            while not self.ending:
                if not poll.poll(100):
                    continue
                buffer = self._buffer()
                fcntl.ioctl(self.fd, self.DQBUF, buffer)
                index, *_ = self.BUFFER.unpack(buffer)
                # Buffers come back in order: once this one has been on display, those after it hold no older frame.
                with self.changed:
                    self.shown = self.held[index]
                    self.changed.notify_all()
                self._queue(index)
        except OSError as error:
            # Unplugged, or ended by `fail_stream`.
            if error.errno not in (errno.ENODEV, errno.EIO):
                raise

    def show(self, frame: bytes):
        """Returns when no older frame can be seen any more."""
        self.frame = frame
        self._wait()

    def _wait(self):
        with self.changed:
            if not self.changed.wait_for(lambda: self.shown is self.frame, timeout=30):
                raise TimeoutError("vivid does not take the picture")

    def close(self):
        self.ending = True
        self.thread.join()
        for memory in self.memory:
            memory.close()
        os.close(self.fd)


def encode(picture: Image.Image, pixel_format: str) -> bytes:
    """The picture's bytes; luma and chroma are those of JPEG, full range."""
    if pixel_format == "RGB3":
        return picture.convert("RGB").tobytes()
    if pixel_format == "GREY":
        return picture.convert("L").tobytes()
    luma, *chroma = picture.convert("YCbCr").split()
    width, height = picture.size
    size = {"YUYV": (width // 2, height), "NV12": (width // 2, height // 2)}[pixel_format]
    blue, red = (plane.resize(size, Image.Resampling.BOX).tobytes() for plane in chroma)
    if pixel_format == "NV12":
        pairs = bytearray(2 * len(blue))
        pairs[0::2], pairs[1::2] = blue, red
        return luma.tobytes() + bytes(pairs)
    frame = bytearray(2 * width * height)
    frame[0::2], frame[1::4], frame[3::4] = luma.tobytes(), blue, red
    return bytes(frame)


def node(end: str) -> Path:
    """The capture ("cap") or output ("out") node, waited for."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for entry in NODES.glob("video*"):
            path = Path("/dev") / entry.name
            if (entry / "name").read_text().strip() == f"vivid-000-vid-{end}" and path.exists():
                return path
        time.sleep(0.05)
    raise TimeoutError(f"vivid has no {end} node")


def v4l2(path: Path, *options: str):
    subprocess.run(["v4l2-ctl", "--device", str(path), *options], check=True, capture_output=True, timeout=60)
