"""Which language a comment is in; offline, a tenth of a millisecond."""

from functools import cache
from typing import Any

UNDETERMINED = "und"
_SURE = 0.12
_CHARACTERS = 1000
"""As many as tell the language; a longer text would only take longer."""


def detect(text: str) -> str:
    """Give the ISO 639 code of the language, ``und`` where the text does not tell.

    Source: py3langid (Lui and Baldwin 2012, https://aclanthology.org/P12-3005/), its model in the package.

    Examples
    --------
    >>> detect("The minister's plan will cost jobs in the north."), detect("Bu ne güzel bir haber"), detect("17:30")
    ('en', 'tr', 'und')
    """
    code, confidence = _identifier().classify(text[:_CHARACTERS])
    return str(code) if confidence >= _SURE else UNDETERMINED


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
