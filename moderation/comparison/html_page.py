"""A comparison as a page to look at."""

from pathlib import Path

from moderation.comparison.counting import SIDES, Comparison, by_flips
from moderation.comparison.difference import APPROVED, OTHER_GUIDELINES, REJECTED, SCORE, THRESHOLD, Difference
from moderation.report import render


def page(comparison: Comparison, source: Path) -> str:
    """Give the comparison as a page in one file.

    Raises
    ------
    MissingPackageError
        When jinja2 is not installed.
    """
    kept = comparison.examples()
    differences = [Difference.between(*example.decisions) for example in kept]
    return render(
        "comparison.html.jinja",
        title="Comparison",
        source=source.name,
        comparison=comparison,
        names=SIDES,
        directions=(REJECTED, APPROVED),
        other=OTHER_GUIDELINES,
        guidelines=by_flips(comparison.guidelines),
        most=max((change.flips for change in comparison.guidelines.values()), default=0),
        rules=[(name, change) for name, change in by_flips(comparison.rules) if change.flips],
        bare=(THRESHOLD, SCORE),
        stages=sorted({by for pair in comparison.decided for by in pair}),
        examples=[(example, found.direction, found.causes) for example, found in zip(kept, differences, strict=True)],
        all_guidelines=sorted({name for example in kept for d in example.decisions for name in d.guidelines}),
        all_causes=sorted({cause for found in differences for cause in found.causes}),
    )
