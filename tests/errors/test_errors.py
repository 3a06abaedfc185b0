"""scripts/errors.py: each loss belongs to the first stage that lost it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import errors  # noqa: E402

PAGE = [
    "Mã số CIC:",
    "0184618475",
    "Địa chỉ: 12 Phố Huế, Quận Hai Bà Trưng,",
    "Hà Nội",
    "2.4 Hợp đồng tín dụng",
    "1",
    "09/07/2020",
    "14/06/2045",
    "2",
    "20/03/2022",
    "15/06/2035",
]
INFO = {
    "cic_code": "0184618475",
    "address": "12 Phố Huế, Quận Hai Bà Trưng, Hà Nội",
    "credit_contract": [["09/07/2020", "14/06/2045"], ["20/03/2022", "15/06/2035"]],
}
FULL = {name: "" for name in errors.SCALARS} | {name: [] for name in errors.TABLES}


def rows(*texts):
    return [[{"value": text, "score": 0.9} for text in row] for row in texts]


def judge(read, answer, info=INFO, text=(PAGE,)):
    """The document whose answer is right but for what is given."""
    right = {**INFO, "credit_contract": rows(*INFO["credit_contract"])}
    reports = [] if answer is None else [{**FULL, **right, **answer}]
    truth = {"kind": "scan", "info": {**FULL, **info}, **({"text": list(text)} if text else {})}
    return errors.judge("scan-1", truth, {"data": {"info": reports}}, read)


def stages(document):
    return {loss.name: loss.stage for loss in document.losses}


def without(*texts):
    return [[line for line in PAGE if line not in texts]]


def replaced(**changes):
    return [[changes.get(line, line) for line in PAGE]]


def test_nothing_is_lost_where_all_is_right():
    assert judge([PAGE], {}).losses == []


def test_value_whose_line_is_not_on_the_picture_is_cut_off():
    assert stages(judge(without("Hà Nội"), {"address": "12"}, text=without("Hà Nội"))) == {"address": "cut off"}


def test_values_of_a_page_that_was_hardly_read_are_the_pages():
    lost = stages(judge([["°o", "_"]], None))
    assert set(lost.values()) == {"page"} and len(lost) == 6


def test_values_of_a_page_that_is_not_there_are_the_pages():
    first, second = PAGE[:4], PAGE[4:]
    assert set(stages(judge([first], {"credit_contract": []}, text=(first, second))).values()) == {"page"}


def test_values_at_an_edge_that_was_cut_away_are_the_pages():
    assert stages(judge([PAGE[4:]], {"cic_code": "", "address": ""})) == {"cic_code": "page", "address": "page"}


def test_absent_table_belongs_to_what_lost_its_heading():
    assert set(stages(judge(without("2.4 Hợp đồng tín dụng"), {"credit_contract": []})).values()) == {"detector"}
    misread = replaced(**{"2.4 Hợp đồng tín dụng": "2.4 Hợp đóng tín đụng"})
    assert set(stages(judge(misread, {"credit_contract": []})).values()) == {"recogniser"}


def test_value_without_a_read_line_is_the_detectors():
    assert stages(judge(without("0184618475"), {"cic_code": ""})) == {"cic_code": "detector"}


def test_line_that_its_box_cut_off_is_the_detectors():
    read = replaced(**{"0184618475": "01846"})
    assert stages(judge(read, {"cic_code": "01846"})) == {"cic_code": "detector"}


def test_cells_in_one_box_are_the_detectors():
    read = [[*PAGE[:9], "20/03/2022 15/06/2035"]]
    answer = {"credit_contract": rows(["09/07/2020", "14/06/2045"], ["20/03/2022 15/06/2035", ""])}
    lost = stages(judge(read, answer))
    assert lost == {"credit_contract[1][0]": "detector", "credit_contract[1][1]": "detector"}


def test_misread_value_is_the_recognisers():
    read = replaced(**{"0184618475": "0184618415", "Hà Nội": "Ha Nội"})
    answer = {"cic_code": "0184618415", "address": "12 Phố Huế, Quận Hai Bà Trưng, Ha Nội"}
    document = judge(read, answer)
    assert stages(document) == {"cic_code": "recogniser", "address": "recogniser"}
    assert errors.confusions([document]) == {("7", "1"): 1, ("à", "a"): 1}


def test_misread_label_beside_a_value_is_not_the_recognisers():
    read = replaced(**{"Địa chỉ: 12 Phố Huế, Quận Hai Bà Trưng,": "Đia chì: 12 Phố Huế, Quận Hai Bà Trưng,"})
    assert stages(judge(read, {"address": "Hà Nội"})) == {"address": "field"}


def test_wholly_misread_short_line_is_the_recognisers():
    info = {**INFO, "credit_rank": "7"}
    text = [[*PAGE[:4], "Hạng:", "7", *PAGE[4:]]]
    read = [[*PAGE[:4], "Hạng:", "1", *PAGE[4:]]]
    assert stages(judge(read, {"credit_rank": "1"}, info, text)) == {"credit_rank": "recogniser"}


def test_table_that_is_absent_though_read_is_the_sections():
    assert set(stages(judge([PAGE], {"credit_contract": []})).values()) == {"section"}


def test_group_of_scalars_that_is_absent_though_read_is_the_sections():
    assert stages(judge([PAGE], {"cic_code": "", "address": ""})) == {"cic_code": "section", "address": "section"}


def test_missing_row_is_the_tables_and_an_invented_one_too():
    missing = judge([PAGE], {"credit_contract": rows(["09/07/2020", "14/06/2045"])})
    assert stages(missing) == {"credit_contract[1][0]": "table", "credit_contract[1][1]": "table"}
    invented = judge([PAGE], {"credit_contract": rows(*INFO["credit_contract"], ["2", "20/03/2022"])})
    assert stages(invented) == {"credit_contract[+]": "table"}
    assert invented.invented == [0.9, 0.9]


def test_row_invented_from_stray_boxes_is_the_detectors():
    document = judge([[*PAGE, "°#~", "@@"]], {"credit_contract": rows(*INFO["credit_contract"], ["°#~", "@@"])})
    assert stages(document) == {"credit_contract[+]": "detector"}


def test_value_from_another_row_is_the_tables():
    answer = {"credit_contract": rows(["09/07/2020", "14/06/2045"], ["20/03/2022", "Hà Nội"])}
    assert stages(judge([PAGE], answer)) == {"credit_contract[1][1]": "table"}


def test_wrong_part_of_the_right_text_is_the_fields():
    assert stages(judge([PAGE], {"address": "12 Phố Huế, Quận Hai Bà Trưng,"})) == {"address": "field"}


def test_equal_cells_are_told_apart_by_their_rows():
    """Of three zeros the middle row's was not read: its value is the detector's, and the others are right."""
    info = {**INFO, "loan_guarantee": [["11", "0"], ["12", "0"], ["13", "0"]]}
    text = [[*PAGE, "11", "0", "12", "0", "13", "0"]]
    read = [[*PAGE, "11", "0", "12", "13", "0"]]
    lost = stages(judge(read, {"loan_guarantee": rows(["11", "0"], ["12", ""], ["13", "0"])}, info, text))
    assert lost == {"loan_guarantee[1][1]": "detector"}


def test_truth_without_text_is_judged_by_its_values():
    read = [["Mã số CIC: 0184618415", *PAGE[2:]]]
    document = judge(read, {"cic_code": "0184618415", "address": "12"}, text=None)
    assert stages(document) == {"cic_code": "recogniser", "address": "field"}


def test_values_count_as_the_independent_script_counts_them():
    folder = ROOT / "tests/data/eval"
    values, extra = [], 0
    for name, truth in truths(folder):
        answer = folder / "answers" / f"{name}.json"
        document = errors.judge(name, truth, json.loads(answer.read_text()) if answer.exists() else {}, [])
        values += document.values
        extra += sum(loss.name.endswith("[+]") for loss in document.losses)
    figures = (folder / "figures.txt").read_text()
    right = sum(value.right for value in values)
    assert f"{right / len(values):.4f}" == re.search(r"values ([\d.]+)", figures)[1]
    assert extra == sum(map(int, re.findall(r"invented rows (\d+)", figures)))


def truths(folder):
    for path in sorted(folder.glob("*.json")):
        truth = json.loads(path.read_text())
        if "errorCode" not in truth:
            yield path.stem, truth


@pytest.mark.parametrize(
    "files, message",
    [
        ({}, "holds no truth"),
        ({"a.json": "{"}, "a.json: Expecting"),
        ({"a.json": '{"kind": "scan"}'}, "a truth has kind and info"),
        ({"a.json": '{"kind": "scan", "info": {"cic_code": "1"}}'}, "there is no a.pdf"),
    ],
)
def test_bad_folder_is_told_in_a_sentence(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, ROOT / "scripts/errors.py", tmp_path]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode != 0 and message in result.stderr and "Traceback" not in result.stderr
