"""Recognising texts that no router here was made for: empty, random characters, not English.

A classifier gives any text a domain, and often with confidence. These are told by rules and a
statistical language identifier (langid.py's method, in `py3langid`), 0.1 ms a text.
"""

import functools
import re
import unicodedata
from typing import Any

from modem.routing.gist import word_set

LANGUAGE_CONFIDENCE = 0.9
"""Probability of another language from which a text counts as not English."""

SUPPORTED_CONFIDENCE = 0.6
"""The same for a text without any of the commonest English words."""

MIN_WORDS = 5
"""Words that a text in Latin letters needs for its language to be judged: names and terms of art
are borrowed from everywhere."""

NOISE_PROBABILITY = 0.5
"""Probability of no language at all from which one odd word makes a text random."""

SUPPORTED_NOISE = 0.1
"""The same for a text of which half the words are odd."""

MAX_CHARS = 2000
"""Characters that are looked at."""

_NO_LANGUAGE = "zxx"
# What the identifier takes English for when it is short or full of terms: Latin, Scots, Nigerian Pidgin.
_NEAR_ENGLISH = frozenset({"en", "la", "sco", "pcm", _NO_LANGUAGE})

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|\\[A-Za-z]+", re.DOTALL)
# Not part of an identifier, a formula, a path or an address.
_WORD = re.compile(r"(?<![\w@#$\\/.=<>^*+-])[^\W\d_]+(?:['\u2019-][^\W\d_]+)*(?![\w@#$\\/=<>^*+(\[{-])")
_GREEK_WORD = re.compile("[\u0370-\u03ff\u1f00-\u1fff]{4}")
# No vowel at all, four consonants in a row, or a q without its u; "y" is a vowel here.
_UNSPEAKABLE = re.compile(r"^[^aeiouy]+$|[^aeiouy]{4}|q(?!u)", re.IGNORECASE)
# Four letters that follow each other on a keyboard.
_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_RUNS = frozenset(
    row[i : i + 4] for line in _KEYBOARD for row in (line, line[::-1]) for i in range(len(row) - 3)
)
_SPOKEN_RUNS = frozenset({"tyui", "erty", "wert", "trew", "poiu"})  # in words: property, Wert

_COMMON = word_set(
    """
    a about all also am an and any are as at be because been but by can could did do does for from
    get give had has have he help her hi him his how i if in into is it its like me my no not of on
    or our out please pls say she should so some than thank thanks that the their them then there
    they this to us use was we were what when where which who why will with would you your
    """
)
# Of these, what hardly occurs in other languages.
_ENGLISH = word_set(
    """
    about and any are because could did does for from give had have help how into like of please
    should that the their them then there they this to what when where which who why with would you
    your
    """
)
_ABBREVIATIONS = word_set(
    """
    bcrypt bgp btw bzr cfg chmod chown cmd cnn cpp css ctrl dhcp dns ftp gcc gdp gpg gpt grpc gzip
    hdd hdfs hmm hmmm html http https hvac idk jpg jpeg jvm kdb lgbt lgbtq llm lmk lstm matplotlib
    md5 mkdir mlb mpg mph mpl mqtt mri mrna mrs msft mvc mvn mysql nba ncbi nfl nginx nhl nltk npm
    ntfs nth ntp numpy nyc oauth omg pdf pgp php png postgresql psst ptsd pvc pwd pyqt pytest rgb
    rlhf rna rpc rss rst scp scss sftp shh smb smtp sqft sql sqlite sqrt src ssd ssh ssl std stdlib
    strlen svg svm syst tbsp tcp tensorflow tgz tls tmp trna tsk tsp tsx ttl txt udp vba vpn vps
    wasm wtf wtb www xls xlsx xml xpath xslt yml
    """
)


def unfamiliar(text: str) -> str | None:
    """Say why a text is none that a router of English prompts was made for.

    Formulas, code, names and terms of art are familiar, and a text in doubt is too.

    Args:
        text: Any.

    Returns:
        ``empty`` without a visible character; ``characters`` for characters at random; ``language``
        for another language; None for a text that is as it should be.
    """
    text = text[:MAX_CHARS]
    if not text.strip():
        return "empty"
    if not any(_means(character) for character in text):
        return "characters"
    if _foreign_script(text):
        return "language"
    words = _words(text)
    if not words or all(word.isupper() for word in words):
        return None
    # Of a formula or a command line the words are the lesser part, and no sample of it.
    if 2 * len(words) > len(text.split()) and _random(words):
        return "characters"
    return "language" if _foreign(words) else None


def _means(character: str) -> bool:
    """Tell letters, digits, mathematical signs and emoji from punctuation and blanks."""
    return unicodedata.category(character) in _MEANING or character in "+=<>"


_LATIN = (("\0", "\u02af"), ("\u1e00", "\u1eff"), ("\u2100", "\u214f"), ("\U0001d400", "\U0001d7ff"))
_MEANING = frozenset({"Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No", "Sm", "So"})


def _foreign_script(text: str) -> bool:
    """Say whether most letters are of another script; Greek ones only in words, for formulas have them."""
    if text.isascii():
        return False
    letters = [character for character in text if character.isalpha()]
    others = [character for character in letters if not _latin(character)]
    if len(others) < 2 or 2 * len(others) <= len(letters):
        return False
    greek = sum("\u0370" <= character <= "\u03ff" for character in others)
    return greek < len(others) / 2 or _GREEK_WORD.search(text) is not None


def _latin(character: str) -> bool:
    # Latin up to its extensions B, and the additional one; then what formulas are written with:
    # letter-like symbols (blackboard R) and mathematical alphanumerics (italic x).
    return any(low <= character <= high for low, high in _LATIN)


def _words(text: str) -> list[str]:
    """Return the words of prose, without code, LaTeX, identifiers and addresses."""
    return _WORD.findall(_CODE.sub(" ", text))


def _random(words: list[str]) -> bool:
    """Say whether words look like keys hit at random."""
    lower = [word.lower() for word in words]
    if any(word in _COMMON or word in _ABBREVIATIONS for word in lower):
        return False
    long = [word for word in lower if len(word) >= 4 and word.isascii()]
    odd = sum(_odd(word) for word in long)
    if odd == 0 or sum(map(len, long)) < 6:
        return False
    needed = SUPPORTED_NOISE if 2 * odd >= len(long) else NOISE_PROBABILITY
    return float(dict(_identifier().rank(" ".join(lower)))[_NO_LANGUAGE]) >= needed


def _odd(word: str) -> bool:
    runs = {word[i : i + 4] for i in range(len(word) - 3)} & _RUNS
    return bool(_UNSPEAKABLE.search(word) or runs - _SPOKEN_RUNS or re.search(r"(.)\1\1\1", word))


def _foreign(words: list[str]) -> bool:
    """Say whether prose is in another language, for certain; a list of names is in none."""
    num_english = sum(word.lower() in _ENGLISH for word in words)
    if len(words) < MIN_WORDS or 4 * num_english >= len(words) or all(word[0].isupper() for word in words):
        return False
    language, confidence = _identifier().classify(" ".join(words))
    needed = LANGUAGE_CONFIDENCE if num_english else SUPPORTED_CONFIDENCE
    return language not in _NEAR_ENGLISH and float(confidence) >= needed


@functools.cache
def _identifier() -> Any:
    """Load the identifier's tables: a second, once a process."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
