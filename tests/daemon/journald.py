"""Runs a command under a journald of its own: journald.py FOLDER COMMAND...

To be run in a mount namespace of its own (unshare --mount). What is logged is in FOLDER/log/journal.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 20.0


def mount(*arguments: object):
    subprocess.run(["mount", *map(str, arguments)], check=True)


def main(folder: Path, *command: str):
    (folder / "log/journal").mkdir(parents=True)
    (folder / "systemd/journal").mkdir(parents=True)
    mount("--bind", folder, "/run")
    # Without a folder there, the journal is kept in /run.
    if Path("/var/log/journal").exists():
        mount("-t", "tmpfs", "nothing", "/var/log")
    machine = Path("/etc/machine-id")
    if not machine.exists() or not machine.read_text(encoding="ascii").strip():
        (folder / "machine-id").write_text("c1c".ljust(32, "0") + "\n", encoding="ascii")
        machine.touch()
        mount("--bind", folder / "machine-id", machine)
    # It ends with the command, which takes this process's place.
    journald = ["setpriv", "--pdeathsig", "KILL", "/lib/systemd/systemd-journald"]
    subprocess.Popen(journald, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    entrance, deadline = "/run/systemd/journal/stdout", time.monotonic() + PATIENCE
    while not Path(entrance).is_socket():
        assert time.monotonic() < deadline, "journald does not start"
        time.sleep(0.02)
    # As systemd connects a service's stderr: identifier, unit, priority, and five switches.
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(entrance)
    stream.sendall(b"cic-kiosk\n\n6\n0\n0\n0\n0\n")
    os.dup2(stream.fileno(), sys.stderr.fileno())
    of = os.fstat(sys.stderr.fileno())
    os.environ["JOURNAL_STREAM"] = f"{of.st_dev}:{of.st_ino}"
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
