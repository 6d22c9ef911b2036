"""The calls of the page and of programs: JSON that is read strictly, and written anew from what was understood."""

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from rrzoo import errors
from rrzoo.demo.door.bodies import Refusal
from rrzoo.demo.door.routes import SESSION

DEPTH = 32  # of lists and objects within each other
LARGEST = 2**53  # of an integer: what JSON's numbers hold exactly


@dataclass(frozen=True)
class Endpoint:
    """A function for programs."""

    number: int  # as the page counts its functions
    defaults: dict[str, Any]  # each parameter in order, and what stands for one that is left out


@dataclass(frozen=True)
class Functions:
    """What may be called."""

    inputs: dict[int, int]  # number of a function -> how many inputs it takes
    endpoints: dict[str, Endpoint]
    triggers: frozenset[int | None]  # numbers of those parts of the page that call functions


def read(body: bytes) -> dict[str, Any]:
    """Return the object that a body holds.

    Raises:
        Refusal: it is no JSON object, or holds what no call needs: too deep, not finite, too large, half characters.
    """

    def refuse(what: str) -> Any:
        raise Refusal(400, f"The request holds {what}: numbers have to be finite and below 2^53.")

    def integer(digits: str) -> int:
        return int(digits) if len(digits) <= 17 and abs(int(digits)) <= LARGEST else refuse("too large a number")

    def real(digits: str) -> float:
        return value if math.isfinite(value := float(digits)) else refuse("too large a number")

    try:
        value = json.loads(body, parse_constant=refuse, parse_int=integer, parse_float=real)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        raise Refusal(400, "The request is not JSON that can be read.") from None
    _check(value, DEPTH)
    if not isinstance(value, dict):
        raise Refusal(400, f"The request is a {type(value).__name__}: send an object.")
    return value


def _check(value: Any, depth: int) -> None:
    if depth == 0:
        raise Refusal(400, f"The request holds more than {DEPTH} lists and objects within each other.")
    if isinstance(value, dict):
        for name in value:
            _check(name, depth)
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth - 1)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise Refusal(400, "The request holds half a character (a lone surrogate).") from None


def join(body: bytes, functions: Functions) -> tuple[bytes, str]:
    """Return a call of the page as Gradio may see it, and its session.

    Raises:
        Refusal: it is not as the page sends them.
    """
    call = read(body)
    session = _session(call.get("session_hash"))
    number, trigger = call.get("fn_index"), call.get("trigger_id")
    if type(number) is not int or number not in functions.inputs:
        raise Refusal(400, f"The request's fn_index is {_short(number)}: the page has no such function. Load it again.")
    if type(trigger) not in (int, type(None)) or trigger not in functions.triggers | {None}:
        raise Refusal(400, f"The request's trigger_id is {_short(trigger)}: nothing there calls. Load the page again.")
    event = call.get("event_data")
    kept = {"fn_index": number, "trigger_id": trigger, "data": _data(call, functions.inputs[number])}
    return json.dumps(
        kept | {"event_data": event if isinstance(event, dict) else {}, "session_hash": _session(session)}
    ).encode(), session


def named(body: bytes, name: str, by_name: bool, functions: Functions) -> bytes:
    """Return a call of an endpoint for programs as Gradio may see it.

    Args:
        body: as it came.
        name: of the endpoint.
        by_name: the body holds parameters by name, not as the list "data".
        functions: what may be called.

    Raises:
        Refusal: there is no such endpoint, or it does not take that.
    """
    endpoint = functions.endpoints.get(name)
    if endpoint is None:
        raise Refusal(404, f"There is no endpoint {name}. {errors.choices(name, functions.endpoints)}")
    call = read(body)
    if by_name:
        unknown = sorted(set(call) - set(endpoint.defaults))
        if unknown:
            raise Refusal(400, f"{name} takes no {_short(unknown[0])}. {errors.choices(unknown[0], endpoint.defaults)}")
        return json.dumps({"data": [call.get(*default) for default in endpoint.defaults.items()]}).encode()
    data = _data(call, len(endpoint.defaults))
    data += list(endpoint.defaults.values())[len(data) :]
    session = {} if call.get("session_hash") is None else {"session_hash": _session(call["session_hash"])}
    return json.dumps({"data": data, **session}).encode()


def _data(call: dict[str, Any], most: int) -> list[Any]:
    data = call.get("data")
    if not isinstance(data, list) or len(data) > most:
        got = f"{len(data)} inputs" if isinstance(data, list) else f"{_short(data)} as data"
        raise Refusal(400, f"The request has {got}: send a list of at most {most}.")
    return data


def _session(session: Any) -> str:
    if not isinstance(session, str) or not re.fullmatch(SESSION, session):
        raise Refusal(400, "The request's session_hash is not 6 to 64 letters, digits and hyphens.")
    return session


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
