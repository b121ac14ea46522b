"""Annotations of parameters: their default, and what values they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


class Default:
    """The value of a parameter that was never set."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value = value
        self._generator = generator

    @property
    def value(self) -> Any:
        """Return the value, or what the generator makes."""
        return self._generator() if self._generator else self._value


@dataclass(frozen=True)
class Decimals:
    """Digits that a widget shows behind the point."""

    value: int


@dataclass(frozen=True)
class SingleStep:
    """Step of a widget."""

    value: float


class Validator:
    """Checks a value."""

    def validate(self, value: Any) -> None:
        """Raise ValueError for a value that is not allowed."""
        raise NotImplementedError


@dataclass(frozen=True)
class WithinRange(Validator):
    """Allows values from minimum to maximum."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for a value outside."""
        if not self.minimum <= value <= self.maximum:
            message = f"Expected a value from {self.minimum} to {self.maximum}, got {value}"
            raise ValueError(message)


@dataclass(frozen=True)
class Minimum(Validator):
    """Allows values from a minimum on."""

    minimum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for a smaller value."""
        if value < self.minimum:
            message = f"Expected at least {self.minimum}, got {value}"
            raise ValueError(message)


@dataclass(frozen=True)
class Maximum(Validator):
    """Allows values up to a maximum."""

    maximum: float

    def validate(self, value: Any) -> None:
        """Raise ValueError for a greater value."""
        if value > self.maximum:
            message = f"Expected at most {self.maximum}, got {value}"
            raise ValueError(message)


@dataclass(frozen=True)
class Choice(Validator):
    """Allows the listed values."""

    choices: Sequence[Any]

    def validate(self, value: Any) -> None:
        """Raise ValueError for any other value."""
        if value not in self.choices:
            message = f"Expected one of {self.choices}, got {value}"
            raise ValueError(message)


SUPPORTED_ANNOTATIONS = (Default, Decimals, SingleStep, WithinRange, Minimum, Maximum, Choice)


def bounds(annotations: Sequence[Any]) -> tuple[float | None, float | None]:
    """Return the least and the greatest value that are allowed; None for no limit."""
    least, greatest = None, None
    for annotation in annotations:
        least = getattr(annotation, "minimum", least)
        greatest = getattr(annotation, "maximum", greatest)
    return least, greatest
