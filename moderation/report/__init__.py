"""An HTML report of a decided file: one page without network that shows what was decided and why."""

from moderation.report.decided import read_decided
from moderation.report.page import render
from moderation.report.review import report_file
from moderation.report.sample import Example, Reservoir, Samples, example
from moderation.report.tally import Tally

__all__ = ["Example", "Reservoir", "Samples", "Tally", "example", "read_decided", "render", "report_file"]
