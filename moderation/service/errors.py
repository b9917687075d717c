"""What the service can answer instead of a decision; each door renders it in its own protocol's shape.

::

    ServiceError(status, message)
    ├── Unauthorised   401 no such key, 403 the key may not do this
    ├── NotFound       404 no such comment or site
    ├── SlowClient     408 the request did not arrive in time
    ├── TooLarge       413 the body, 422 the text or the batch
    ├── Unreadable     422 what was sent cannot be judged or stored as it is
    ├── Overloaded     503 the queue is full; ``retry_after_seconds``
    │   └── RateLimited    429 this key asks too often; ``retry_after_seconds``
    └── Failed         503 the comment could not be judged or recorded

A comment is never approved because of one of these, unless the policy of the site says so for this door
(`Desk.fails_open`). Messages are one line and hold no comment text.
"""

from starlette.exceptions import HTTPException


class ServiceError(HTTPException):  # So that FastAPI lets it through where it reads a body.
    """Any answer that is no decision.

    Parameters
    ----------
    status
        HTTP status, 400 to 599.
    message
        What is wrong and the remedy, in one line.

    Attributes
    ----------
    headers
        Headers that belong to the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message, {"WWW-Authenticate": "Bearer"} if status == 401 else {})
        self.status = status
        self.message = message


class Unauthorised(ServiceError):  # noqa: N818 (named for the reader of an adapter)
    """The key is missing or unknown (401), or may not do this (403)."""

    def __init__(self, message: str, status: int = 401) -> None:
        super().__init__(status, message)


class NotFound(ServiceError):  # noqa: N818
    """There is no such comment, or no such site."""

    def __init__(self, message: str) -> None:
        super().__init__(404, message)


class SlowClient(ServiceError):  # noqa: N818
    """The request's body did not arrive in time."""

    def __init__(self, message: str) -> None:
        super().__init__(408, message)


class TooLarge(ServiceError):  # noqa: N818
    """The body (413), a text or a batch (422) is over the limit."""

    def __init__(self, message: str, status: int = 413) -> None:
        super().__init__(status, message)


class Unreadable(ServiceError):  # noqa: N818
    """A text or an id cannot be judged or stored as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(422, message)


class Overloaded(ServiceError):  # noqa: N818
    """More is waiting than can be decided in good time.

    Parameters
    ----------
    retry_after_seconds
        When to try again; at least 1.
    """

    def __init__(self, retry_after_seconds: float, message: str = "too much is waiting; try again", status: int = 503):
        super().__init__(status, message)
        self.retry_after_seconds = max(1, round(retry_after_seconds))
        self.headers = {"Retry-After": str(self.retry_after_seconds)}


class RateLimited(Overloaded):
    """One key asks for more than its rate."""

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(retry_after_seconds, "this key asks too often; try again", 429)


class Failed(ServiceError):  # noqa: N818
    """A comment could not be judged, or the decision could not be recorded."""

    def __init__(self, message: str = "the comment could not be judged; try again") -> None:
        super().__init__(503, message)
