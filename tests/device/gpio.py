"""A GPIO chip whose inputs the tests pull and whose outputs they look at, of the kernel's module gpio-sim."""

import subprocess
from pathlib import Path

CONFIG = Path("/sys/kernel/config/gpio-sim")
DEVICES = Path("/sys/devices/platform")


class Chip:
    """The chip with its named lines; entering makes it, leaving takes it away."""

    def __init__(self, label: str, *lines: str):
        self.label = label
        self.lines = lines

    def __enter__(self) -> "Chip":
        subprocess.run(["modprobe", "gpio-sim"], check=True)
        self._device = CONFIG / self.label
        self._bank = self._device / "bank"
        self._bank.mkdir(parents=True)
        (self._bank / "label").write_text(self.label)
        (self._bank / "num_lines").write_text(str(len(self.lines)))
        for offset, name in enumerate(self.lines):
            line = self._bank / f"line{offset}"
            line.mkdir()
            (line / "name").write_text(name)
        self.plug()
        return self

    def __exit__(self, *_):
        self.unplug()
        for offset in range(len(self.lines)):
            (self._bank / f"line{offset}").rmdir()
        self._bank.rmdir()
        self._device.rmdir()

    def plug(self):
        (self._device / "live").write_text("1")
        chip = (self._bank / "chip_name").read_text().strip()
        self.path = Path("/dev") / chip
        self._lines = DEVICES / (self._device / "dev_name").read_text().strip() / chip

    def unplug(self):
        """Takes the chip away, also from under a program that holds lines of it."""
        (self._device / "live").write_text("0")

    def _attribute(self, line: str, name: str) -> Path:
        return self._lines / f"sim_gpio{self.lines.index(line)}" / name

    def press(self, line: str):
        """Pulls an input high; a button that is wired active-low is pressed by `release`."""
        self._attribute(line, "pull").write_text("pull-up")

    def release(self, line: str):
        """Pulls an input low, as all are at first."""
        self._attribute(line, "pull").write_text("pull-down")

    def level(self, line: str) -> bool:
        """Whether the line is high: driven by whoever has it as an output, else pulled."""
        return self._attribute(line, "value").read_text().strip() == "1"
