"""A comment API that asks the library, in its own process, before it keeps a comment.

Run: ``pip install moderation fastapi uvicorn`` and ``uvicorn app:app``, then
``curl localhost:8000/comments --json '{"text": "Thank you for this report."}'``.
"""

from functools import cache
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field

from moderation import Comment, Moderator

app = FastAPI(title="Comments")
comments: list[str] = []  # Your database.


@cache
def moderator() -> Moderator:
    """Load the policy and the model once a process."""
    return Moderator.default()


class NewComment(BaseModel):
    """What a reader sends."""

    text: Annotated[str, Field(min_length=1, max_length=10_000)]
    article: str = ""


# A plain `def`: FastAPI runs it on a thread, so that a decision does not hold up other requests. If the
# review raises, the answer is 500 and nothing is kept: it fails closed.
@app.post("/comments", status_code=201)
def post(comment: NewComment, moderator: Annotated[Moderator, Depends(moderator)]) -> dict[str, int]:
    """Keep a comment that the policy approves; else tell its author why not."""
    decision = moderator.review(Comment(comment.text, article=comment.article))
    if decision.verdict.value == "reject":
        raise HTTPException(422, {"reason": decision.reason, "guidelines": decision.guidelines})
    comments.append(comment.text)
    return {"id": len(comments) - 1}


@app.get("/comments")
def published() -> list[str]:
    """List what is published."""
    return comments
