import unicodedata

import numpy as np

from cictrain.alphabet import ALPHABET, VIETNAMESE, decode, encode


def test_every_accented_vietnamese_letter_is_there_in_both_cases():
    assert len(set(VIETNAMESE)) == 134
    assert set(VIETNAMESE) <= set(ALPHABET)
    assert set(VIETNAMESE.upper()) == {c for c in VIETNAMESE if c.isupper()}
    assert {"ữ", "Ữ", "đ", "Đ", "ậ", "Ẫ", "ỵ"} <= set(ALPHABET)


def test_characters_are_distinct_single_scalars_in_nfc():
    assert len(set(ALPHABET)) == len(ALPHABET)
    assert unicodedata.normalize("NFC", ALPHABET) == ALPHABET


def test_encoding_composes_first_and_refuses_strangers():
    assert encode(unicodedata.normalize("NFD", "Nợ xấu")).tolist() == encode("Nợ xấu").tolist()
    assert encode("日") is None


def test_decoding_drops_blanks_and_repeats_but_keeps_doubles_with_a_blank_between():
    one, two = encode("12")
    assert decode([0, one, one, 0, one, two, two, 0]) == "112"
    assert decode([0, 0, 0]) == ""


def test_decoding_inverts_encoding():
    text = "Dư nợ cho vay ngắn hạn: 1,234 (triệu VND) ☑"
    codes = np.zeros(2 * len(text), np.int64)
    codes[::2] = encode(text)
    assert decode(codes) == text
