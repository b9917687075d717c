"""Decide which reader comments to publish: approve or reject, with the reasons.

>>> from moderation import Moderator
>>> Moderator.default().review("Thank you for this thoughtful article.").verdict.value
'approve'
"""

from moderation.comment import Comment
from moderation.decision import Decision, Verdict
from moderation.errors import ModelError, ModerationError, PolicyError, RecordError
from moderation.finding import Effect, Finding
from moderation.moderator import Moderator
from moderation.policy import Policy, load_policy

__all__ = [
    "Comment",
    "Decision",
    "Effect",
    "Finding",
    "ModelError",
    "ModerationError",
    "Moderator",
    "Policy",
    "PolicyError",
    "RecordError",
    "Verdict",
    "load_policy",
]
