"""Errors of requests to the API server, by how callers react."""

from __future__ import annotations


class ApiError(Exception):
    """The base class. ``status`` is the HTTP code (0: no response), ``reason`` the reason of the Status object."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}"[:500])
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotLeaderError(RuntimeError):
    """This process does not hold the Lease, so no request was sent."""


class NotFoundError(ApiError, LookupError):
    """404: the object, its namespace or its kind does not exist."""


class ConflictError(ApiError):
    """409: another client wrote first, the object exists already, or another manager owns a field."""


class GoneError(ApiError):
    """410: the resourceVersion or the ``continue`` token is too old; list again."""


class InvalidError(ApiError, ValueError):
    """400 or 422: the request is invalid; a retry fails too."""


class TooLargeError(InvalidError):
    """The object is too large: 413, or an error of etcd, which an API server returns as a 500."""


class ForbiddenError(ApiError, PermissionError):
    """401 or 403."""


class UnavailableError(ApiError, ConnectionError):
    """429, 5xx or no response: a retry may succeed."""


class ForeignError(UnavailableError):
    """A successful response that is not from an API server: not JSON, or another object."""


_TEMPORARY = (401, 408, 409, 410, 429)


def lasts(error: ApiError) -> bool:
    """Whether the error is about this object (quota, policy, a terminating or deleted namespace), so that retries fail
    until a user changes something."""
    return 400 <= error.status < 500 and error.status not in _TEMPORARY


_TOO_LARGE = ("request is too large", "trying to send message larger than max")
"""Parts of the messages of etcd and of its client in an API server."""


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
