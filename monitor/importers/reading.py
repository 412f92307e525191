"""What importers share: a file's documents, checked or refused in one line."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, ValidationError


def _text(value: str) -> str:
    value.encode()  # a lone surrogate, which JSON can write, is no text that could be stored or printed
    return value


T = TypeVar("T")
Text = Annotated[str, AfterValidator(_text)]
Many = Annotated[list[T], FailFast()]
"""A list that may be long: what is wrong in it is told once."""
Count = Annotated[int, Field(ge=0, le=10**15)]


class FileError(Exception):
    """The file is no baseline; the text says why."""


class Part(BaseModel):
    """A part of another tool's document: what is not asked for is not looked at, and numbers are finite."""

    model_config = ConfigDict(allow_inf_nan=False, frozen=True)


Checked = TypeVar("Checked", bound=Part)


def text(data: bytes) -> str:
    """Give a file's text; raises FileError if it is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise FileError("not a text file") from None


def documents(data: bytes) -> list[Any]:
    """Give the JSON documents of a file, of which there may be several in a row; raises FileError if it holds none."""
    said, found = text(data).strip(), []
    decoder = json.JSONDecoder()
    try:
        while said:
            document, end = decoder.raw_decode(said)
            found.append(document)
            said = said[end:].lstrip()
    except ValueError as error:
        raise FileError(f"not JSON: {error}") from None
    except RecursionError:
        raise FileError("not JSON: nested too deeply") from None
    return found


def checked(kind: type[Checked], document: object, what: str) -> Checked:
    """Read a document as what it should be; raises FileError, which says where it is not."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise FileError(f"not {what}: {where + ': ' if where else ''}{first['msg'].splitlines()[0]}") from None
