"""What the API server may answer instead of what was asked, by how callers react."""

from __future__ import annotations


class ApiError(Exception):
    """Any refusal. ``status`` is the HTTP code (0: no answer at all), ``reason`` the Status object's reason."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}"[:500])
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotLeaderError(RuntimeError):
    """This process does not hold the Lease (any more), so nothing was asked of the API server."""


class NotFoundError(ApiError, LookupError):
    """404: the object, its namespace or its kind is not there."""


class ConflictError(ApiError):
    """409: someone else wrote first, the object exists already, or a field belongs to another manager."""


class GoneError(ApiError):
    """410: that resourceVersion or ``continue`` token is too old; list again."""


class InvalidError(ApiError, ValueError):
    """400 or 422: the request itself is wrong; asking again does not help."""


class TooLargeError(InvalidError):
    """The object is too large to be stored: 413, or etcd's own refusal, which an API server passes on as a 500."""


class ForbiddenError(ApiError, PermissionError):
    """401 or 403."""


class UnavailableError(ApiError, ConnectionError):
    """429, 5xx or no answer: the same request may succeed later."""


class ForeignError(UnavailableError):
    """A success that is not an API server's: no JSON, or not what was asked for. Something else answers there."""


_PASSING = (401, 408, 409, 410, 429)


def lasts(error: ApiError) -> bool:
    """Whether a refusal is of this object (quota, policy, a namespace that goes or is gone) and stays until somebody
    does something. What is asked of everybody, or of nobody a moment later, passes."""
    return 400 <= error.status < 500 and error.status not in _PASSING


_TOO_LARGE = ("request is too large", "trying to send message larger than max")
"""What etcd, and the client of it in an API server, say."""


def of(status: int, reason: str, message: str, retry_after: float | None = None) -> ApiError:
    """The error class for an HTTP status."""
    if status == 413 or (status >= 500 and any(words in message for words in _TOO_LARGE)):
        return TooLargeError(status, reason, message)
    if status in (0, 429) or status >= 500:
        return UnavailableError(status, reason, message, retry_after)
    kinds: dict[int, type[ApiError]] = {
        400: InvalidError,
        401: ForbiddenError,
        403: ForbiddenError,
        404: NotFoundError,
        409: ConflictError,
        410: GoneError,
        422: InvalidError,
    }
    return kinds.get(status, ApiError)(status, reason, message, retry_after)
