"""A tuning in words."""

from moderation.tuning.choice import Tuning
from moderation.tuning.outcome import RESAMPLES, Estimate, Flips, OperatingPoint, named_rows


def report(tuning: Tuning) -> str:
    """Draw a tuning as text: the thresholds, the counts with intervals, and what would change."""
    if tuning.false_rejection is not None:
        aim = f"the most right rejections with at most {tuning.false_rejection:.6g} of the comments to approve rejected"
    else:
        aim = f"the least cost, one wrong rejection as dear as {tuning.cost_ratio:.6g} wrong approvals"
    columns = (
        ("", "unflagged", "referred", "rejected", "recall", "precision", "false rejection"),
        ("old", *_column(tuning, tuning.old)),
        ("new", *_column(tuning, tuning.new)),
    )
    widths = [max(map(len, column)) for column in columns]
    lines = [
        f"{tuning.rows} labelled comments, {tuning.to_reject} to reject and {tuning.to_approve} to approve; a rule "
        f"rejects {tuning.by_rule} at any threshold, {tuning.referred} are referred.",
        f"Aim: {aim}.",
        "",
        *("  ".join(map(str.ljust, row, widths)).rstrip() for row in zip(*columns, strict=True)),
        "",
        _changes("rejected", tuning.newly_rejected),
        _changes("approved", tuning.newly_approved),
        f"In brackets: 95% intervals from {RESAMPLES} resamples. These comments chose the new thresholds, so that the "
        "new figures flatter a little; measure on others.",
    ]
    if not tuning.referred:
        lines.append("No comment is referred: nothing here speaks for or against the threshold `referred`.")
    if not tuning.new.wrong:
        # Source: Hanley and Lippman-Hand, If nothing goes wrong, is everything all right? JAMA 249 (1983).
        bound = 1 - 0.05 ** (1 / tuning.to_approve)
        lines.append(
            f"None of {tuning.to_approve} comments to approve is rejected: of many more it may still be up to "
            f"{bound:.2%} (95%)."
        )
    return "\n".join(lines)


def _column(tuning: Tuning, point: OperatingPoint) -> tuple[str, ...]:
    return (
        str(point.unflagged),
        str(point.referred),
        _cell(point.rejected, tuning.rows, point.rejection),
        _cell(point.right, tuning.to_reject, point.recall),
        _cell(point.right, point.rejected, point.precision),
        _cell(point.wrong, tuning.to_approve, point.false_rejection),
    )


def _cell(part: int, whole: int, estimate: Estimate) -> str:
    if estimate.share is None:
        return f"{part} of {whole}"
    return f"{part} of {whole}, {estimate.share:.2%} ({estimate.low:.2%} to {estimate.high:.2%})"


def _changes(verdict: str, flips: Flips) -> str:
    if not flips.rows:
        return f"Newly {verdict}: none."
    kinds = [
        f"{count} {how} ({named_rows(rows, count)})"
        for how, count, rows in (("rightly", flips.right, flips.right_rows), ("wrongly", flips.wrong, flips.wrong_rows))
        if count
    ]
    return f"Newly {verdict}: {flips.rows}, " + " and ".join(kinds) + "."
