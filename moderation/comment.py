"""The submitted text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comment:
    """One submitted text; never edited.

    Parameters
    ----------
    text
        The comment as the reader wrote it.
    id
        The publisher's name for it; may be empty.
    article
        The article that it stands under, empty if unknown.
    parent
        The comment that it answers, empty if unknown.
    """

    text: str
    id: str = ""
    article: str = ""
    parent: str = ""
