"""What every section of the configuration is made of."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError


def no_boolean(value: Any) -> Any:
    """Refuse true and false where a number is expected."""
    # To Python `true` is 1: `drop_lowest: yes` would drop the whole pool.
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


Int = Annotated[int, BeforeValidator(no_boolean)]
Float = Annotated[float, BeforeValidator(no_boolean)]
Fraction = Annotated[Float, Field(ge=0.0, le=1.0)]
PositiveInt = Annotated[Int, Field(gt=0)]
Auto = Literal["auto"]


class Frozen(BaseModel):
    """A section: immutable, and unknown keys are errors."""

    # What stands below a field describes it in the JSON schema and in `curate init`.
    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True
    )
