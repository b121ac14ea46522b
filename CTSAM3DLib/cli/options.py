"""Values of the command line that are refused in words before any work is done."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def positive(text: str) -> float:
    """Return a number above 0, such as a length or a time.

    Examples
    --------
    >>> positive("1.5")
    1.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def at_least(smallest: int) -> Callable[[str], int]:
    """Return what reads a whole number that is not smaller than another one.

    Examples
    --------
    >>> at_least(1)("2")
    2
    >>> at_least(1)("0")
    Traceback (most recent call last):
    ...
    argparse.ArgumentTypeError: expected a whole number of 1 or more, got '0'
    """

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = smallest - 1
        if value < smallest:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of {smallest} or more, got {text!r}"
            )
        return value

    return read


def check_device(device: str) -> None:
    """Raise DeviceError for a device that is unknown or not there, before long work.

    Examples
    --------
    >>> check_device("auto")
    >>> check_device("mps")
    Traceback (most recent call last):
    ...
    CTSAM3DLib.errors.DeviceError: expected device auto, cpu, cuda or cuda:N, got 'mps'
    """
    if device != "auto":  # PyTorch takes long to load
        from CTSAM3DLib.bundles.predictor import resolve_device

        resolve_device(device)
