"""Prometheus gates: an instant query whose first sample is evaluated (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import functools
import math

import msgspec

from trimtab.api.strategy import PrometheusGate
from trimtab.core.cel import Condition
from trimtab.gates import Measurement
from trimtab.gates.http_client import HttpClient, Response
from trimtab.gates.urls import AllowList

_PATH = ("api", "v1", "query")
_ERRORS = ("timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found")
"""The API's own error types. Messages contain no other text of the server."""

_FOREIGN = "did not respond as Prometheus does"


class _Data(msgspec.Struct):
    resultType: str = ""  # noqa: N815
    result: msgspec.Raw = msgspec.Raw()


class _Reply(msgspec.Struct):
    status: str = ""
    errorType: str = ""  # noqa: N815
    data: _Data | None = None


class _Sample(msgspec.Struct):
    value: tuple[float, str] | None = None


class NoNumberError(ValueError):
    """A response without a number; the message is the reason."""


async def measure(spec: PrometheusGate, allow: AllowList, client: HttpClient, timeout: float) -> Measurement:
    """:raises RefusedUrlError: the address is not allowed. :raises NoResponseError: there is no usable response."""
    try:
        success = _condition(spec.success_condition)
        failure = _condition(spec.failure_condition) if spec.failure_condition is not None else None
    except ValueError as error:
        return Measurement("Error", f"a condition is not valid CEL: {error}")
    target = allow.check(spec.address, _PATH)
    form = {"query": spec.query, "timeout": f"{timeout:.3f}"}
    response = await client.post(target, form, timeout)
    try:
        value, note = read(response)
    except NoNumberError as error:
        return Measurement("Error", f"{target.authority} {error}")
    if value is None:
        return Measurement("NoData", note)
    try:
        return evaluate(value, success, failure, note)
    except ValueError as error:
        return Measurement("Error", f"{shown(value)}: a condition cannot be evaluated: {error}")


def evaluate(value: float, success: Condition, failure: Condition | None, note: str = "") -> Measurement:
    """Failed if the failure condition holds, also if both do. :raises ValueError: a condition cannot be evaluated."""
    good = success.holds(value)
    bad = failure.holds(value) if failure is not None else not good
    measured = f"{shown(value)}{note}"
    if bad:
        reason = f"{failure.text} holds" if failure is not None else f"{success.text} does not hold"
        return Measurement("Failed", f"{measured}: {reason}")
    if good:
        return Measurement("Successful", f"{measured}: {success.text} holds")
    return Measurement("Inconclusive", f"{measured}: neither the success nor the failure condition holds")


def read(response: Response) -> tuple[float | None, str]:
    """The first sample and a note on its origin; None if there is none, and the reason.

    :raises NoNumberError: the query failed, or its result is not a number.
    """
    reply = _reply(response)
    if reply is None or reply.status != "success" or reply.data is None:
        raise NoNumberError(_refusal(response.status, reply))
    try:
        found = _first(reply.data)
        if found is None:
            return None, "the query returned no series"
        text, note = found
        value = float(text)
    except NoNumberError:
        raise
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise NoNumberError(_FOREIGN) from None
    return (None, "the query returned NaN") if math.isnan(value) else (value, note)


def _first(data: _Data) -> tuple[str, str] | None:
    """The first value and a note; None if there are no series."""
    if data.resultType == "scalar":
        return msgspec.json.decode(data.result, type=tuple[float, str])[1], ""
    if data.resultType != "vector":
        kind = data.resultType if data.resultType in ("matrix", "string") else "result of an unknown type"
        raise NoNumberError(f"returned a {kind}; the query must return a number or an instant vector")
    samples = msgspec.json.decode(data.result, type=list[_Sample])
    if not samples:
        return None
    if samples[0].value is None:
        raise NoNumberError(
            "returned a histogram; the query must return a number, for example by histogram_quantile"
        )
    return samples[0].value[1], f" (the first of {len(samples)} series)" if len(samples) > 1 else ""


def shown(value: float) -> str:
    """A number, human-readable."""
    return f"{value:.6g}"


def _reply(response: Response) -> _Reply | None:
    try:
        return msgspec.json.decode(response.body, type=_Reply)
    except (ValueError, RecursionError):
        return None


def _refusal(status: int, reply: _Reply | None) -> str:
    if 300 <= status < 400:
        return f"returned {status}; redirects are not followed: specify the address that it redirects to"
    if status in (401, 403):
        return f"requires credentials ({status}); gates send none"
    if reply is not None and reply.errorType in _ERRORS:
        return f"could not run the query ({status}, {reply.errorType})"
    if status == 404:
        return "returned 404 at /api/v1/query; specify the address of a Prometheus server"
    return f"returned {status}" if status != 200 else _FOREIGN


@functools.lru_cache(maxsize=512)
def _condition(text: str) -> Condition:
    return Condition.compile(text)
