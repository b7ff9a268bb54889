"""Prometheus gates: an instant query whose first sample is judged (https://prometheus.io/docs/prometheus/latest/querying/api/)."""

from __future__ import annotations

import functools
import math

import msgspec

from trimtab.api.strategy import PrometheusGate
from trimtab.core.cel import Condition
from trimtab.gates import Measurement
from trimtab.gates.answers import Answer, Asker
from trimtab.gates.urls import AllowList

_PATH = ("api", "v1", "query")
_ERRORS = ("timeout", "canceled", "execution", "bad_data", "internal", "unavailable", "not_found")
"""The API's own error types: of the rest of what it says nothing is repeated."""


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
    """An answer without a number in it; the message says what it is instead."""


async def measure(spec: PrometheusGate, allow: AllowList, asker: Asker, timeout: float) -> Measurement:
    """:raises RefusedUrlError: it may not be asked. :raises UnansweredError: it did not answer."""
    try:
        success = _condition(spec.success_condition)
        failure = _condition(spec.failure_condition) if spec.failure_condition is not None else None
    except ValueError as error:
        return Measurement("Error", f"a condition is no CEL: {error}")
    target = allow.check(spec.address, _PATH)
    form = {"query": spec.query, "timeout": f"{timeout:.3f}"}
    answer = await asker.post(target, form, timeout)
    try:
        value, note = read(answer)
    except NoNumberError as error:
        return Measurement("Error", f"{target.place} {error}")
    if value is None:
        return Measurement("NoData", note)
    try:
        return judge(value, success, failure, note)
    except ValueError as error:
        return Measurement("Error", f"{shown(value)}: a condition cannot be evaluated: {error}")


def judge(value: float, success: Condition, failure: Condition | None, note: str = "") -> Measurement:
    """Both conditions: it failed; neither: inconclusive. :raises ValueError: a condition cannot be evaluated."""
    good = success.holds(value)
    bad = failure.holds(value) if failure is not None else not good
    said = f"{shown(value)}{note}"
    if bad:
        reason = f"{failure.text} holds" if failure is not None else f"{success.text} does not hold"
        return Measurement("Failed", f"{said}: {reason}")
    if good:
        return Measurement("Successful", f"{said}: {success.text} holds")
    return Measurement("Inconclusive", f"{said}: neither the success nor the failure condition holds")


def read(answer: Answer) -> tuple[float | None, str]:
    """The first sample, and a note on where it comes from; None: there is none, and the note says why.

    :raises NoNumberError: the query failed, or gives something else.
    """
    reply = _reply(answer)
    if reply is None or reply.status != "success" or reply.data is None:
        raise NoNumberError(_refusal(answer.status, reply))
    kind = reply.data.resultType
    try:
        if kind == "scalar":
            text, note = msgspec.json.decode(reply.data.result, type=tuple[float, str])[1], ""
        elif kind == "vector":
            samples = msgspec.json.decode(reply.data.result, type=list[_Sample])
            if not samples:
                return None, "the query gives no series"
            if samples[0].value is None:
                raise NoNumberError(
                    "gives a histogram; the query has to give a number, as by histogram_quantile"
                )
            text = samples[0].value[1]
            note = f" (the first of {len(samples)} series)" if len(samples) > 1 else ""
        else:
            kind = kind if kind in ("matrix", "string") else "something else"
            raise NoNumberError(f"gives a {kind}; the query has to give a number or an instant vector")
        value = float(text)
    except NoNumberError:
        raise
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise NoNumberError("does not answer as Prometheus does") from None
    return (None, "the query gives NaN") if math.isnan(value) else (value, note)


def shown(value: float) -> str:
    """A number as people write it."""
    return f"{value:.6g}"


def _reply(answer: Answer) -> _Reply | None:
    try:
        return msgspec.json.decode(answer.body, type=_Reply)
    except (ValueError, RecursionError):
        return None


def _refusal(status: int, reply: _Reply | None) -> str:
    if 300 <= status < 400:
        return f"answers {status}; redirects are not followed: give the address that it leads to"
    if status in (401, 403):
        return f"wants credentials ({status}); gates send none"
    if reply is not None and reply.errorType in _ERRORS:
        return f"cannot answer the query ({status}, {reply.errorType})"
    if status == 404:
        return "answers 404 at /api/v1/query; is this the address of a Prometheus server?"
    return f"answers {status}" if status != 200 else "does not answer as Prometheus does"


@functools.lru_cache(maxsize=512)
def _condition(text: str) -> Condition:
    return Condition.compile(text)
