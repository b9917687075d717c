"""What the native API is sent and answers, as its OpenAPI document describes it."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, FailFast, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from moderation.decision import Verdict
from moderation.finding import Effect
from moderation.policy import GUIDELINES
from moderation.service.desk import MAX_ID_CHARS

# --------------------------------------------------------------------------- what is sent


class CommentOfBatchIn(BaseModel):
    """One comment of a batch."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="The comment as the reader wrote it.")
    id: str = Field("", max_length=MAX_ID_CHARS, description="The publisher's name for it; made here if empty.")
    article: str = Field("", max_length=MAX_ID_CHARS, description="The article that it stands under.")
    parent: str = Field("", max_length=MAX_ID_CHARS, description="The comment that it answers.")


class CommentIn(CommentOfBatchIn):
    """One comment to decide on."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"id": "17", "text": "What a thoughtful article.", "article": "trains-2026", "parent": "16"}]
        },
    )

    site: str | None = Field(None, description="The site whose policy applies; the header X-Site says the same.")


class CommentsIn(BaseModel):
    """Up to 1,000 comments to decide on (as the service is set)."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"comments": [{"id": "17", "text": "Thank you."}, {"id": "18", "text": "You moron"}]}]
        },
    )

    # The first comment that cannot be read ends it: a body of millions of them would take long.
    comments: Annotated[list[CommentOfBatchIn], FailFast()] = Field(min_length=1)
    site: str | None = Field(None, description="The site whose policy applies to all of them.")


class FeedbackIn(BaseModel):
    """What a person says of a comment."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"verdict": "approve", "note": "quoted from the article"}],
            "if": {"properties": {"verdict": {"const": "approve"}}},
            "then": {"properties": {"guidelines": {"maxItems": 0}}},
        },
    )

    verdict: Verdict
    guidelines: list[Literal[GUIDELINES]] = Field([], description="Those broken, for a rejection.")  # type: ignore[valid-type]
    note: str = Field("", max_length=2000)
    text: str | None = Field(None, description="The comment's text, kept to train with.")
    site: str | None = None
    seq: int | None = Field(
        None,
        ge=1,
        lt=1 << 62,
        description="The row of the audit log that it is about; the newest if not given.",
    )

    @field_validator("guidelines")
    @classmethod
    def _of_a_rejection(cls, given: list[str], info: ValidationInfo) -> list[str]:
        if given and info.data.get("verdict") is Verdict.APPROVE:
            raise PydanticCustomError("guidelines", "must be empty for an approval")
        return given


# --------------------------------------------------------------------------- what is answered


class FindingOut(BaseModel):
    """One place where a rule fired, or that carried the score; half-open offsets in code points."""

    rule: str
    guideline: str
    effect: Effect
    start: int
    end: int
    excerpt: str


class DecisionOut(BaseModel):
    """One decision, as in files."""

    id: str
    verdict: Verdict
    guidelines: list[str]
    reason: str
    score: float = Field(ge=0, le=1)
    scores: dict[str, float]
    threshold: float
    decided_by: Literal["rule", "linear", "encoder"]
    findings: list[FindingOut]
    policy: str
    model: str


class DecisionsOut(BaseModel):
    """Decisions in the order of the comments."""

    decisions: list[DecisionOut]


class FeedbackOut(BaseModel):
    """What someone said, as recorded."""

    time: AwareDatetime
    id: str
    site: str
    door: str
    caller: str
    verdict: Verdict
    guidelines: list[str]
    note: str


class EntryOut(BaseModel):
    """One row of the audit log with its feedback, oldest first."""

    seq: int
    time: AwareDatetime
    id: str
    site: str
    door: str
    caller: str
    text_hash: str
    text: str | None
    decision: DecisionOut
    feedback: list[FeedbackOut]


class PageOut(BaseModel):
    """Rows, newest first; ``next`` is the ``before`` of the page after, null on the last."""

    entries: list[EntryOut]
    next: int | None


class HourOut(BaseModel):
    """Counts of one hour; guidelines count rejections."""

    hour: AwareDatetime
    approve: int
    reject: int
    guidelines: dict[str, int]


class SummaryOut(BaseModel):
    """Counts of the last hours."""

    since: AwareDatetime
    until: AwareDatetime
    verdicts: dict[str, int]
    guidelines: dict[str, int]
    doors: dict[str, int]
    overruled: int
    hours: list[HourOut]


class GuidelineOut(BaseModel):
    """A published guideline."""

    id: str
    title: str
    text: str
    kinds: list[str]


class RuleOut(BaseModel):
    """A rule in force."""

    id: str
    guideline: str
    effect: Effect
    statement: str


class EncoderLooksOut(BaseModel):
    """Which comments the encoder looks at: see the policy's table ``[encoder]``."""

    unflagged: float
    referred: float


class PolicyOut(BaseModel):
    """The policy and model in force for a site."""

    site: str
    name: str
    version: str
    identity: str
    model: str
    classifier: Literal["cascade", "linear", "encoder"]
    thresholds: dict[str, float]
    encoder: EncoderLooksOut | None
    guidelines: list[GuidelineOut]
    rules: list[RuleOut]


class StateOut(BaseModel):
    """How the service is."""

    status: str


class ProblemOut(BaseModel):
    """Why there is no answer; ``problems`` names the fields that cannot be used."""

    detail: str
    problems: list[dict[str, str]] = []


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemOut, "description": description}
    for status, description in {
        400: "The request is not HTTP that can be read",
        401: "No good API key",
        403: "The key may not do this",
        404: "No such comment or site",
        408: "The body came too slowly",
        413: "The body is too large",
        415: "The body is not application/json",
        422: "A field cannot be used, or is too long",
        429: "This key asks too often; see Retry-After",
        503: "Too much is waiting, or the comment could not be judged; see Retry-After",
    }.items()
}
