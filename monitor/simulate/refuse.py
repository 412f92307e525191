"""Reads request bodies and refuses the wrong ones in the shape vLLM uses for its errors."""

from http import HTTPStatus

from pydantic import JsonValue, TypeAdapter, ValidationError

from monitor.simulate.ask import AnyAsk
from monitor.simulate.knobs import Knobs

_ERROR_TYPES = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}
_BODY = TypeAdapter(dict[str, JsonValue])


class RefusalError(Exception):
    """A request that is answered with an error status instead of tokens."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, param)


def error_body(status: int, message: str, param: str | None = None) -> dict[str, object]:
    """Gives the nested error object of vLLM 0.10.1 and later."""
    kind = _ERROR_TYPES.get(status, HTTPStatus(status).phrase)
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def read(body: bytes, kind: type[AnyAsk], knobs: Knobs) -> AnyAsk:
    """Promises a request that can be answered; raises RefusalError."""
    if knobs.status:
        raise RefusalError(knobs.status, f"The simulated server answers {knobs.status}.")
    try:
        _check_fields(_BODY.validate_json(body), knobs)
        ask = kind.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from error
    _check_model(ask.model, knobs)
    _check_salt(ask.cache_salt)
    _check_lengths(ask, knobs)
    return ask


def _invalid(error: ValidationError) -> RefusalError:
    first = error.errors(include_url=False)[0]
    # Without a place, the body as a whole is wrong. Below the field, the place names pydantic's types: of no use here.
    return _bad(first["msg"], str(first["loc"][0])) if first["loc"] else RefusalError(400, first["msg"])


def _bad(message: str, param: str, value: int | None = None) -> RefusalError:
    shown = "" if value is None else f", value={value}"
    return RefusalError(400, f"{message} (parameter={param}{shown})", param)


def _check_fields(fields: dict[str, JsonValue], knobs: Knobs) -> None:
    options = fields.get("stream_options")
    given = {*fields, *(options if isinstance(options, dict) else {})}
    for name in knobs.reject:
        if name in given:
            raise _bad(f"Parameter '{name}' is not supported by this server.", name)


def _check_model(model: str | None, knobs: Knobs) -> None:
    if model not in {None, knobs.model}:
        raise RefusalError(404, f"The model `{model}` does not exist. Valid aliases: {knobs.model}.", "model")


def _check_salt(salt: str | None) -> None:
    if salt == "":
        raise _bad("Parameter 'cache_salt' must be a non-empty string if provided.", "cache_salt")


def _check_lengths(ask: AnyAsk, knobs: Knobs) -> None:
    length, room = ask.length, knobs.max_model_len
    if length > room:
        advice = "Please request fewer output tokens."
        raise _bad(f"max_tokens={length} cannot be greater than max_model_len={room}. {advice}", "max_tokens", length)
    prompt = len(ask.tokens())
    if prompt + length > room:
        raise _bad(f"{prompt} prompt and {length} output tokens do not fit max_model_len={room}.", "max_tokens", length)
    if ask.min_tokens > length:
        raise _bad(f"min_tokens={ask.min_tokens} is more than max_tokens={length}.", "min_tokens", ask.min_tokens)
