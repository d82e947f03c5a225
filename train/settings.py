"""Settings of the stages from options of the command line."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edge_app.core.errors import SedgeError

Settings = TypeVar("Settings", bound=BaseModel)


def checked(kind: type[Settings], names: Mapping[str, str] | None = None, **options: Any) -> Settings:
    """Settings whose fields are named like the options, but for those in `names`.

    Raises SedgeError for the first value out of range.
    """
    try:
        return kind(**options)
    except ValidationError as error:
        first = error.errors()[0]
        field = "-".join(map(str, first["loc"]))
        option = "--" + (names or {}).get(field, field).replace("_", "-")
        expected = first["msg"].removeprefix("Input should be ")
        raise SedgeError(f"{option}: expected {expected}, found {first['input']!r}") from error
