"""A kiosk that was off for long, whose clock has no battery, in a branch without a network."""

import json
import time

from conftest import new_paper, open_branch


def test_papers_are_taken_in_1970_without_a_network_and_arrive_when_both_are_back(tmp_path):
    with open_branch("clock", tmp_path) as branch:
        kiosk = branch.kiosk
        kiosk.start(clock="1970-01-02", network=False)
        kiosk.wait_until_up()
        # systemd knows when it was made, and begins there.
        assert int(kiosk.run("date +%s")) < time.time() - 86_400
        papers = [new_paper() for _ in range(3)]
        scans = kiosk.submit(*papers)
        checks = json.loads(kiosk.try_run("cic-kiosk doctor --json 2>/dev/null")[1])["checks"]
        assert "fault" in {check["status"] for check in checks if check["check"] == "clock"}
        kiosk.run("systemctl poweroff")
        kiosk.wait_for_end()
        assert not branch.listener.results
        kiosk.start()
        kiosk.wait_until_up()
        branch.check(scans)
