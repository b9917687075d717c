"""What Perspective's clients send: protocol buffers in JSON, and what is said of those that are none.

Source: OpenAPI of the Comment Analyzer API, v1alpha1,
https://github.com/APIs-guru/openapi-directory/tree/main/APIs/googleapis.com/commentanalyzer/v1alpha1
"""

from typing import Annotated, Any, Literal, TypeVar

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError
from pydantic.alias_generators import to_camel

from moderation.comment import Comment
from moderation.service.adapter import Malformed, mended, read_object
from moderation.service.desk import MAX_ID_CHARS

_ERROR_TYPE = "type.googleapis.com/google.commentanalyzer.v1alpha1.Error"


class Message(BaseModel):
    """A protocol buffer in JSON: names in either spelling, null as if absent, unknown names refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
ScoreType = Literal["SCORE_TYPE_UNSPECIFIED", "PROBABILITY", "STD_DEV_SCORE", "PERCENTILE", "RAW"]


class TextEntry(Message):
    """A text with its type."""

    text: str | None = None
    type: Literal["TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT", "HTML"] | None = None


class ArticleAndParent(Message):
    """What a comment stands under."""

    article: TextEntry | None = None
    parent_comment: TextEntry | None = None


class Context(Message):
    """What a comment stands under or answers, in one of two forms."""

    entries: list[TextEntry] | None = None
    article_and_parent_comment: ArticleAndParent | None = None

    def texts(self) -> tuple[str, str]:
        """Give article and parent comment; of entries the most recent is last.

        Raises
        ------
        Malformed
            When both forms are given.
        """
        both = self.article_and_parent_comment
        if both is not None and self.entries is not None:
            raise Malformed("Context may have only one of 'entries' and 'article_and_parent_comment'.")
        if both is not None:
            article, parent = both.article, both.parent_comment
        else:
            article, parent = None, self.entries[-1] if self.entries else None
        return text_of(article), text_of(parent)


class Attribute(Message):
    """How one attribute is asked for."""

    score_type: ScoreType | None = None
    score_threshold: Number | None = None


class Score(Message):
    """One score."""

    value: Annotated[Number, Field(ge=0, le=1)] | None = None
    type: ScoreType | None = None


class SpanScore(Message):
    """The score of a part of the text; without both ends that of the whole."""

    begin: Annotated[int, BeforeValidator(_number)] | None = None
    end: Annotated[int, BeforeValidator(_number)] | None = None
    score: Score | None = None


class AttributeScores(Message):
    """The scores of one attribute."""

    summary_score: Score | None = None
    span_scores: list[SpanScore] | None = None


class CommentRequest(Message):
    """What both methods take."""

    comment: TextEntry | None = None
    context: Context | None = None
    languages: list[str] | None = None
    client_token: str | None = None
    session_id: str | None = None
    community_id: str | None = None

    def as_comment(self, comment_id: str = "") -> Comment:
        """Give the comment to judge.

        Raises
        ------
        Malformed
            When there is none, or it is not plain text.
        """
        if self.comment is None or not (self.comment.text or "").strip():
            raise invalid("Comment must be non-empty.", "COMMENT_EMPTY")
        if self.comment.type == "HTML":
            raise invalid("Currently, only 'PLAIN_TEXT' comments are supported", "INVALID_REQUEST")
        article, parent = self.context.texts() if self.context else ("", "")
        return Comment(text_of(self.comment), comment_id, article, parent)


class AnalyzeRequest(CommentRequest):
    """What ``comments:analyze`` takes."""

    requested_attributes: dict[str, Attribute] | None = None
    do_not_store: StrictBool | None = None
    span_annotations: StrictBool | None = None
    drop_unsupported_attributes: StrictBool | None = None


class SuggestRequest(CommentRequest):
    """What ``comments:suggestscore`` takes."""

    attribute_scores: dict[str, AttributeScores] | None = None


Body = TypeVar("Body", bound=BaseModel)


def text_of(entry: TextEntry | None) -> str:
    """Give an entry's text, empty if there is none."""
    return mended((entry.text if entry else None) or "")


def invalid(message: str, error_type: str, **details: Any) -> Malformed:
    """Give an error with the API's own type of it."""
    return Malformed(message, details=[{"@type": _ERROR_TYPE, "errorType": error_type, **details}])


async def read(request: Request, kind: type[Body]) -> Body:
    """Read the body of a request.

    Raises
    ------
    Malformed
        When it is not the message; its text tells the place and repeats no value.
    """
    if request.query_params.get("alt", "json") != "json":
        raise Malformed("Invalid value at 'alt': only json is supported.", "alt")
    try:
        return kind.model_validate(read_object(await request.body()))
    except Malformed as error:
        raise Malformed(f"Invalid JSON payload received. {error.message[0].upper()}{error.message[1:]}.") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        *parents, name = [str(part)[:100] for part in first["loc"]] or [""]
        at = f" at '{'.'.join(parents)}'" if parents else ""
        if first["type"] == "extra_forbidden":
            problem = f'Unknown name "{mended(name)}"{at}: Cannot find field.'
        else:
            problem = f"Invalid value at '{mended('.'.join((*parents, name)))}'."
        raise Malformed(f"Invalid JSON payload received. {problem}") from None


def given_id(token: str | None) -> str:
    """Give the publisher's id of the comment, empty if there is none; Coral writes ``comment:ID``."""
    own = mended(token or "").removeprefix("comment:")
    return own if len(own) <= MAX_ID_CHARS else ""
