"""Processes that read documents, started as systemd starts them."""

import os
import signal
import subprocess
from pathlib import Path

from kiosk import PROGRAM, until

# Ticks of the processor's time, more than it takes a worker to start and to load the models.
WORK = os.sysconf("SC_CLK_TCK")


def status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; a zombie's where there is none any more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return ["Z"] + ["0"] * 20


class Workers:
    """The socket, and the workers that it starts, one for each connection, as `cic-kiosk-worker.socket` does."""

    def __init__(self, socket: Path, log: Path, level: str = "trace"):
        self.socket, self.log, self.level = socket, log, level
        self.process: subprocess.Popen | None = None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_):
        self.close()

    def listen(self):
        self.socket.unlink(missing_ok=True)
        command = ["systemd-socket-activate", "--accept", "--inetd", f"--setenv=RUST_LOG={self.level}", f"--listen={self.socket}"]
        with self.log.open("ab") as stderr:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": stderr}
            self.process = subprocess.Popen([*command, PROGRAM, "worker"], **streams)
        until(self.socket.exists)

    def pids(self) -> list[int]:
        """Those that are alive, the oldest first."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8")
        return [pid for pid in map(int, children.split()) if status(pid)[0] != "Z"]

    def at_work(self) -> int | None:
        """One that computes for a document."""
        return next((pid for pid in self.pids() if sum(map(int, status(pid)[11:13])) >= WORK), None)

    def close(self):
        if self.process is not None:
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
