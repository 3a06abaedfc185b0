"""What the contract promises of every answer, and what the OpenAPI document says of it."""

from jsonschema import Draft202012Validator
from requests import Response

PATH = "/api/v2/ocr/document/credit_report"

MESSAGES = {
    "0": "Success",
    "1": "Incorrect image format",
    "2": "Url is unavailable",
    "3": "Incorrect image format",
    "4": "Incorrect api_key or api_secret",
    "5": "Out of requests",
    "6": "Error when processing the request",
}

# The contract knows nothing of a place or method that is not there, nor of a full house: code 6 says so.
STATUSES = {"0": {200}, "1": {422}, "2": {424}, "3": {400}, "4": {401}, "5": {429}, "6": {404, 405, 500, 503}}

SCALARS = [
    "report_time",
    "cic_code",
    "id_card",
    "address",
    "credit_score",
    "credit_rank",
    "credit_ranking_date",
    "debt_sold_to_vamc",
]

TABLES = [
    "loan_details",
    "credit_card_info",
    "outstanding_loans",
    "bad_debt",
    "late_payments",
    "loan_guarantee",
    "credit_contract",
    "customers_look_up",
]


def check_response(response: Response, document: dict) -> dict:
    """The answer in a response, after everything was checked that holds for all of them."""
    assert response.headers["content-type"] == "application/json"
    answer = check_answer(response.json(), document)
    assert response.status_code in STATUSES[answer["errorCode"]], answer
    assert response.headers["x-request-id"] == answer["meta"]["scan_id"]
    assert ("www-authenticate" in response.headers) == (response.status_code == 401)
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) > 0
    return answer


def check_answer(answer: dict, document: dict) -> dict:
    """The answer, after everything was checked that holds for all of them."""
    code = answer["errorCode"]
    assert answer["errorMessage"] == MESSAGES[code]
    assert answer["data"]["type"] == "credit_report"
    if code == "0":
        assert answer["data"]["info"]
    else:
        assert answer["data"]["info"] == []
        assert answer["meta"]["detail"].endswith("."), "a sentence for a person"
    # A reference looks for its target in the document that it stands in.
    Draft202012Validator({**document, "$ref": "#/components/schemas/Answer"}).validate(answer)
    return answer
