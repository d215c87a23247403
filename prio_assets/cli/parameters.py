"""Kinds of option values that click does not know."""

from datetime import datetime
from typing import Any
from uuid import UUID

import click

from prio_assets.errors import MalformedError
from prio_assets.wire.windows import parse_minute


class Secret:
    """A private key's text, kept out of representations."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret()"

    def reveal(self) -> str:
        """The text itself."""
        return self._text


class SecretType(click.ParamType):
    """Takes any text, so that click never has a wrong one to repeat in an error."""

    name = "secret"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Secret:
        return value if isinstance(value, Secret) else Secret(value)


class BooleanType(click.ParamType):
    """`true` or `false`. An empty text, which click takes for false, is more likely a variable that was not set."""

    name = "boolean"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        if value.lower() not in ("true", "false"):
            self.fail(f"{value!r} is not a valid boolean: give true or false", param, ctx)
        return bool(value.lower() == "true")


class UnsignedType(click.ParamType):
    """An integer of so many bits without sign, from a minimum."""

    name = "integer"

    def __init__(self, bits: int, minimum: int = 0) -> None:
        self.bits = bits
        self.minimum = minimum

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number: int = click.INT.convert(value, param, ctx)
        if not self.minimum <= number < 1 << self.bits:
            self.fail(f"{number} is not in {self.minimum} to {(1 << self.bits) - 1}", param, ctx)
        return number


class MinuteType(click.ParamType):
    """A minute in UTC, `YYYY/MM/DD/HH/MM`."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_minute(value)
        except MalformedError as error:
            self.fail(str(error), param, ctx)


class BatchIdType(click.ParamType):
    """A UUID in one of the forms that the wire knows."""

    name = "uuid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> UUID:
        from prio_assets.wire.uuids import parse_uuid

        if isinstance(value, UUID):
            return value
        try:
            return parse_uuid(value)
        except MalformedError as error:
            self.fail(str(error), param, ctx)


class AggregationType(click.ParamType):
    """An aggregation's name: one component of an object's name."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from prio_assets.wire.names import is_aggregation

        if not is_aggregation(value):
            self.fail(f"{value!r} cannot name an aggregation: give one path component that is not reserved", param, ctx)
        return str(value)


class InstanceType(click.ParamType):
    """An instance's name: one component of an object's name."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from prio_assets.wire.names import is_instance

        if not is_instance(value):
            self.fail(f"{value!r} cannot name an instance: give one path component that is not reserved", param, ctx)
        return str(value)


class EmptyType(click.ParamType):
    """A value that must be empty, of an option of the reference's that is not needed here; the remedy says why."""

    name = "empty"

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value:
            self.fail(self.remedy, param, ctx)
        return ""


class KeyFileType(click.Path):
    """The path of a file that can be read, or an empty text for none."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(value, param, ctx) if value else value
