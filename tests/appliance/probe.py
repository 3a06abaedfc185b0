"""Tries what an attacker in the place of the program would try, and prints how each ends: probe.py WHAT...

`ok`, or the name of the error.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys

LIBC = ctypes.CDLL(None, use_errno=True)


def connect(family: int, address):
    with socket.socket(family) as one:
        one.settimeout(5)
        one.connect(address)


def call(name: str, *arguments):
    if getattr(LIBC, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def other_processes():
    own = {str(os.getpid()), str(os.getppid())}
    if seen := [name for name in os.listdir("/proc") if name.isdigit() and name not in own]:
        raise OSError(errno.EEXIST, str(seen))


def program():
    os.waitpid(os.posix_spawn("/usr/bin/true", ["true"], {}), 0)


def core():
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        raise OSError(errno.EFBIG, "a core")


PROBES = {
    "camera": lambda: os.open("/dev/video7", os.O_RDWR),
    "other device": lambda: os.open("/dev/fuse", os.O_RDWR),
    "branch": lambda: connect(socket.AF_INET, ("10.1.2.3", 1883)),
    "internet": lambda: connect(socket.AF_INET, ("192.0.2.7", 1883)),
    "loopback": lambda: connect(socket.AF_INET, ("127.0.0.1", 1883)),
    "raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "bus": lambda: connect(socket.AF_UNIX, "/run/dbus/system_bus_socket"),
    "journal": lambda: connect(socket.AF_UNIX, "/run/systemd/journal/stdout"),
    "code in memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "system's files": lambda: os.open("/usr/lib/written", os.O_WRONLY | os.O_CREAT),
    "own state": lambda: os.open("/var/lib/cic-kiosk/written", os.O_WRONLY | os.O_CREAT),
    "secrets' store": lambda: os.listdir("/etc/credstore"),
    "root's files": lambda: os.listdir("/root"),
    "other processes": other_processes,
    "tracing": lambda: call("ptrace", 0, 0, 0, 0),
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "namespace": lambda: call("unshare", 0x10000000),
    "core": core,
    "program": program,
}


def end_of(probe) -> str:
    try:
        probe()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return "ok"


# Who asks has time to ask others before.
print("here", flush=True)
sys.stdin.readline()
print(json.dumps({name: end_of(PROBES[name]) for name in sys.argv[1:] or PROBES}), flush=True)
