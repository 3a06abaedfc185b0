"""The appliance: its units, booted as far as this machine can."""

import os

import pytest

from kiosk import run
from machine import Machine, place

BROKER = "10.1.2.3"


@pytest.fixture(scope="session")
def new_machine(tmp_path_factory):
    """Makes kiosks with a broker and all that the package leaves to a branch, not started yet."""
    if os.geteuid() != 0:
        pytest.skip("only root boots a machine")
    machines = []

    def new_machine(name: str) -> Machine:
        machine = Machine(tmp_path_factory.mktemp(name))
        machines.append(machine)
        settings = f'[kiosk]\nbranch = "hn-01"\nid = "kiosk-1"\n[mqtt]\nbroker = "mqtt://{BROKER}"\n'
        place(machine.root, "etc/cic-kiosk/config.d/branch.toml", settings)
        key = run("outbox", "key", check=True).stdout
        place(machine.root, "etc/credstore/cic-kiosk.outbox-key", key, 0o600)
        place(machine.root, "etc/mosquitto-test.conf", "listener 1883\nallow_anonymous true\n")
        broker = "[Service]\nExecStart=/usr/sbin/mosquitto -c /etc/mosquitto-test.conf\n"
        place(machine.root, "usr/lib/systemd/system/broker.service", broker)
        return machine

    yield new_machine
    for machine in machines:
        machine.stop()
