"""The way to a broker, with everything that happens on such a way."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from enum import Enum, auto

from files import closed_port

# Types of MQTT's packets.
CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4

# "Not authorised" in CONNACK, as MQTT 3.1.1 and MQTT 5 have it.
REFUSALS = {4: b"\x20\x02\x00\x05", 5: b"\x20\x03\x00\x87\x00"}


class Fault(Enum):
    # Nobody listens.
    CLOSED = auto()
    # Every connection is closed as soon as it is there.
    SLAMMED = auto()
    # The broker answers that it will not have this client.
    REFUSED = auto()
    # Nothing comes through any more, and no connection ends, as when a firewall has forgotten them.
    SILENT = auto()
    # The broker gets every message, and no acknowledgement of one comes back.
    UNACKNOWLEDGED = auto()


class Gate:
    """Stands between a kiosk and its broker, and passes on whole MQTT packets.

    A connection that a fault has met stays as it is when the fault has gone: what was swallowed is not made up for.
    """

    def __init__(self, broker_port: int):
        self.broker_port, self.port = broker_port, closed_port()
        self.fault: Fault | None = None
        self.lock = threading.Lock()
        self.connections: set[socket.socket] = set()
        # Packets that came to the gate, from either side.
        self.seen: Counter[int] = Counter()
        # When connections were asked for, in seconds.
        self.asked: list[float] = []
        self.door = self._door(listening=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.fault = Fault.CLOSED
        _close(self.door)
        self.cut()

    def set(self, fault: Fault | None):
        """From now on this is wrong, or nothing."""
        was, self.fault = self.fault, fault
        if Fault.CLOSED in (was, fault) and was != fault:
            _close(self.door)
            self.door = self._door(listening=fault is not Fault.CLOSED)
        if fault in (Fault.CLOSED, Fault.SLAMMED, Fault.REFUSED):
            self.cut()

    def heal(self):
        self.set(None)

    def cut(self):
        """Ends all connections."""
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            _close(connection)

    def _door(self, listening: bool) -> socket.socket:
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # A port that is bound and not listened on is nobody else's, and refuses.
        door.bind(("127.0.0.1", self.port))
        if listening:
            door.listen(64)
            threading.Thread(target=self._accept, args=[door], daemon=True).start()
        return door

    def _accept(self, door: socket.socket):
        while True:
            try:
                kiosk, _ = door.accept()
            except OSError:
                return
            self.asked.append(time.monotonic())
            if self.fault in (Fault.CLOSED, Fault.SLAMMED):
                kiosk.close()
                continue
            with self.lock:
                self.connections.add(kiosk)
            threading.Thread(target=self._serve, args=[kiosk], daemon=True).start()

    def _serve(self, kiosk: socket.socket):
        try:
            broker = socket.create_connection(("127.0.0.1", self.broker_port))
        except OSError:
            return _close(kiosk)
        with self.lock:
            self.connections.add(broker)
        for source, target in ((kiosk, broker), (broker, kiosk)):
            threading.Thread(target=self._pass_on, args=[source, target], daemon=True).start()
        return None

    def _pass_on(self, source: socket.socket, target: socket.socket):
        try:
            for kind, packet in packets(source):
                self.seen[kind] += 1
                if self.fault is Fault.SILENT:
                    return self._fall_silent(source)
                if self.fault is Fault.REFUSED and kind == CONNECT:
                    source.sendall(REFUSALS[version(packet)])
                    break
                if not (self.fault is Fault.UNACKNOWLEDGED and kind == PUBACK):
                    target.sendall(packet)
        except OSError:
            pass
        _close(source)
        _close(target)
        return None

    @staticmethod
    def _fall_silent(source: socket.socket):
        """Takes whatever comes until somebody else ends the connection, and tells nobody of that either."""
        try:
            while source.recv(65536):
                pass
        except OSError:
            pass


def packets(source: socket.socket) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each packet, as they come."""
    with source.makefile("rb") as file:
        while head := file.read(1):
            length, shift, more = 0, 0, True
            while more:
                byte = file.read(1)
                if not byte:
                    return
                head += byte
                length |= (byte[0] & 127) << shift
                shift, more = shift + 7, byte[0] > 127
            body = file.read(length)
            if len(body) < length:
                return
            yield head[0] >> 4, head + body


def version(connect: bytes) -> int:
    """The version of the protocol, which stands after its name."""
    return connect[connect.index(b"MQTT") + 4]


def _close(connection: socket.socket):
    try:
        # Wakes up whoever waits for it.
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    connection.close()
