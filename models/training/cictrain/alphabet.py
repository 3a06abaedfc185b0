"""The alphabet of drawn text and of the recogniser, and CTC labels over it.

Class 0 is the CTC blank; class i is ALPHABET[i - 1]. Every entry is one Unicode scalar in NFC. The alphabet travels in
the ONNX metadata as the concatenation of its characters, so its order may change from one version to the next.
"""

import string
import unicodedata

import numpy as np

_VOWELS = "aăâeêioôơuưy"
_TONES = ["", "\u0300", "\u0301", "\u0303", "\u0309", "\u0323"]


def _vietnamese() -> str:
    """The 134 letters that ASCII lacks: 12 vowels in 6 tones and đ, in both cases, less the six bare ASCII vowels."""
    lower = [unicodedata.normalize("NFC", vowel + tone) for vowel in _VOWELS for tone in _TONES] + ["đ"]
    lower = [letter for letter in lower if not letter.isascii()]
    return "".join(lower) + "".join(letter.upper() for letter in lower)


VIETNAMESE = _vietnamese()
# Marks that a form is filled in with: a ballot box, empty, ticked, crossed; a tick alone.
MARKS = "☐☑☒✓"
ALPHABET = (
    " " + string.digits + string.ascii_lowercase + string.ascii_uppercase + string.punctuation + VIETNAMESE + "–·°" + MARKS
)
CLASSES = len(ALPHABET) + 1

# Printed as a blank, and read as one.
NBSP = "\u00a0"

_INDEX = {character: number for number, character in enumerate(ALPHABET, start=1)}


def encode(text: str) -> np.ndarray | None:
    """Class numbers of `text` after NFC, or None when a character lies outside the alphabet."""
    codes = [_INDEX.get(character) for character in unicodedata.normalize("NFC", text)]
    return None if None in codes else np.array(codes, np.int64)


def decode(best: np.ndarray, alphabet: str = ALPHABET) -> str:
    """Greedy CTC: runs of one class collapse to one, blanks fall away. `best` holds the winning class of each step."""
    best = np.asarray(best)
    starts = np.concatenate(([True], best[1:] != best[:-1]))
    return "".join(alphabet[code - 1] for code in best[starts & (best != 0)])
