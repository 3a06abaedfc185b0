"""`doctor` beside a daemon that runs, and with a broker that is strict."""

import json

from broker import Listener, Mosquitto
from daemon import CONNECTED
from kiosk import until


def examine(kiosk) -> tuple[int, dict[str, dict]]:
    # As the package sets them up.
    kiosk.credentials.chmod(0o700)
    for file in kiosk.credentials.iterdir():
        file.chmod(0o600)
    result = kiosk.command("doctor", "--json")
    return result.returncode, {row["check"]: row for row in json.loads(result.stdout)["checks"]}


def test_doctor_sees_the_daemon_that_runs_and_does_not_disturb_it(open_branch, new_paper):
    branch = open_branch()
    kiosk = branch.kiosk
    kiosk.start()
    port = int(kiosk.address.rsplit(":", 1)[1])
    until(lambda: kiosk.metric(CONNECTED) == 1 and branch.listener.presence)
    told = len(branch.listener.presence)
    kiosk.configure(http={"listen": f"127.0.0.1:{port}"})
    status, rows = examine(kiosk)
    assert status == 0, rows
    assert "a daemon answers" in rows["submit"]["found"] and "a daemon runs" in rows["http"]["found"]
    assert rows["broker-mqtt"]["status"] == rows["outbox"]["status"] == rows["folder"]["status"] == "ok"
    # It is still connected, and nothing was published.
    assert kiosk.metric(CONNECTED) == 1 and len(branch.listener.presence) == told
    branch.listener.wait_for(kiosk.scan(new_paper()))


def test_doctor_says_how_a_strict_broker_takes_the_kiosk(tmp_path, logs, authority, open_branch):
    broker = Mosquitto(tmp_path / "strict", login=("kiosk-1", "a-secret-of-the-branch"), authority=authority)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("kiosk-1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "kiosk.pem")
    kiosk = open_branch(
        mqtt={
            "broker": f"mqtts://localhost:{broker.port}",
            "user": "kiosk-1",
            "authorities": str(tmp_path / "authority.pem"),
            "certificate": str(tmp_path / "kiosk.pem"),
        }
    ).kiosk
    kiosk.state.mkdir(mode=0o700)
    kiosk.give_credential("mqtt-key", issued.private_key_pem.bytes().decode())
    steps = ["broker-network", "broker-tls", "mqtt-certificate", "broker-mqtt"]
    with broker, Listener(broker.listeners_port, logs / "strict-doctor.topics"):
        for password, last in [("a-secret-of-no-branch", "fault"), ("a-secret-of-the-branch", "ok")]:
            kiosk.give_credential("mqtt-password", password)
            status, rows = examine(kiosk)
            assert [rows[step]["status"] for step in steps] == ["ok", "ok", "ok", last], rows
            assert status == int(last == "fault")
        # Another authority than the broker's.
        other = type(authority)()
        other.cert_pem.write_to_path(tmp_path / "authority.pem")
        status, rows = examine(kiosk)
        assert [rows[step]["status"] for step in steps] == ["ok", "fault", "ok", "fault"] and status == 1
