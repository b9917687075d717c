"""What is read of a text, and the way back to the original offsets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class View:
    """One reading of a text.

    Parameters
    ----------
    text
        What is read.
    starts, ends
        For each character of ``text``, where it begins and ends (half-open) in the original, or
        None where both texts have the same offsets.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Give the half-open span of the original that ``text[start:end]`` was read from."""
        if self.starts is None or self.ends is None:
            return start, end
        if start < end:
            return self.starts[start], self.ends[end - 1]
        place = self.starts[start] if start < len(self.starts) else (self.ends[-1] if self.ends else 0)
        return place, place


@dataclass(frozen=True, slots=True)
class Folded:
    """A text with its views."""

    plain: View
    folded: View
    skeleton: View

    def views(self) -> Iterable[tuple[str, View]]:
        """Yield each view by name; a skeleton that equals the folded view is left out."""
        yield "plain", self.plain
        yield "folded", self.folded
        if self.skeleton is not self.folded:
            yield "skeleton", self.skeleton
