"""A kiosk asks the cloud about what it doubts."""

import pytest
from PIL import Image

from cloud import CONSENT, credentials_for, settings_for, transfers
from kiosk import ROOT, until, wrong

# It is read with some doubt, by whoever reads it.
DOUBTFUL = ROOT / "tests/data/reports/scan.pdf"


@pytest.fixture
def open_asking(open_branch, cloud):
    """Makes a kiosk that may ask the cloud, with this key."""

    def open_asking(key, **settings):
        asked = {**settings_for(cloud), "backoff_milliseconds": 10, **settings}
        branch = open_branch(cloud=asked, decision={"value_below": 0.999})
        for credential in credentials_for(key).items():
            branch.kiosk.give_credential(*credential)
        branch.kiosk.start()
        return branch

    return open_asking


def result_of(branch, file) -> dict:
    submitted = branch.kiosk.submit(file)
    assert submitted.status == 0, submitted
    return branch.listener.answer(submitted.accepted[file])


@pytest.mark.parametrize("sent", ["document", "pages"])
def test_doubtful_document_is_asked_about_and_the_transfer_is_on_record(open_asking, cloud, sent):
    branch = open_asking(cloud.key("kiosk"), send=sent)
    meta = result_of(branch, DOUBTFUL)["meta"]
    # The other one reads the same with the same models: there is nothing better to merge, but it was asked.
    assert meta["decision"] in ("cloud", "review") and meta["elapsed_ms"]["cloud"] > 0
    [transfer] = transfers(branch.kiosk)
    assert (transfer["scan_id"], transfer["outcome"]) == (meta["scan_id"], "0")
    assert (transfer["host"], transfer["consent"]) == ("127.0.0.1", CONSENT)
    assert set(transfer["pages"]) <= {0, 1, 2} and transfer["bytes"] > 0
    assert cloud.metric("cic_answers_total", code="0", format_type="file") == 1


def test_picture_is_asked_about_as_it_came(open_asking, cloud, tmp_path):
    branch = open_asking(cloud.key("kiosk"), send="document")
    for name in ("blank.png", "blank.jpg", "blank.tiff"):
        file = tmp_path / name
        Image.new("L", (1240, 1754), 255).save(file)
        answer = result_of(branch, file)
        # Neither finds a report on it.
        assert answer["errorCode"] == "1" and answer["meta"]["decision"] == "local"
    assert [(transfer["outcome"], transfer["pages"]) for transfer in transfers(branch.kiosk)] == [("1", [0])] * 3


def test_sure_document_is_not_sent(open_asking, cloud, new_paper):
    branch = open_asking(cloud.key("kiosk"))
    [scan_id] = branch.kiosk.scan(new_paper())
    assert branch.listener.answer(scan_id)["meta"]["decision"] == "local"
    assert transfers(branch.kiosk) == []


def test_wrong_key_costs_one_transfer_and_the_result_goes_out_for_review(open_asking, cloud):
    branch = open_asking(wrong(cloud.key("kiosk")))
    for _ in range(2):
        meta = result_of(branch, DOUBTFUL)["meta"]
        assert (meta["decision"], meta["source"]) == ("review", "local") and meta["needs_review"]
    assert [transfer["outcome"] for transfer in transfers(branch.kiosk)] == ["wrong_key"]
    assert "cloud-secret" in branch.kiosk.said()


def test_cloud_that_is_away_holds_nothing_up(open_asking, cloud):
    branch = open_asking(cloud.key("kiosk"), total_seconds=5, attempt_seconds=5)
    assert cloud.stop() == 0
    meta = result_of(branch, DOUBTFUL)["meta"]
    assert (meta["decision"], meta["source"]) == ("review", "local") and meta["needs_review"]
    assert {transfer["outcome"] for transfer in transfers(branch.kiosk)} == {"unreachable"}


def test_switching_the_cloud_off_counts_at_once(open_asking, cloud):
    branch = open_asking(cloud.key("kiosk"))
    branch.kiosk.configure(cloud={"enabled": False})
    branch.kiosk.reload()
    until(lambda: "read again" in branch.kiosk.said())
    assert result_of(branch, DOUBTFUL)["meta"]["decision"] == "review"
    assert transfers(branch.kiosk) == []
