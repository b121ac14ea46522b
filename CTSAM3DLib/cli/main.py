"""The command line, ``python -m CTSAM3DLib COMMAND ...``; a command is imported when asked for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from CTSAM3DLib.errors import CTSAM3DError
from CTSAM3DLib.version import __version__

FAILURE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # as a program that SIGPIPE ends: 128 + 13


COMMANDS = {
    "segment": "segment one CT from clicks",
    "batch": "segment many CTs listed in a table",
    "demo": "segment a generated torso CT from stored clicks",
    "anatomies": "list the names that get colour and codes",
    "models": "list the installed models, remove or trust one",
    "import-checkpoint": "make a model of the checkpoint that the authors published",
    "learn": "let a model learn from corrected segmentations",
    "train": "train a model",
    "evaluate": "measure a model on labelled CTs",
    "export": "make a bundle of trained weights",
}
"""What each command does; the module of its name runs it by ``main(argv)``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, by default that of the process, and return its exit status.

    0 done, 1 done in part, 2 an error (one line on standard error), 130 interrupted, 141 when what
    reads the output has gone away, as `head` does. `argv` is without the name of the program.
    """
    _print_any_name()
    try:
        code = _main(argv)
        sys.stdout.flush()  # else the interpreter finds a closed pipe when it ends, and complains
    except BrokenPipeError:
        forget_output()
        return BROKEN_PIPE
    return code


def _main(argv: Sequence[str] | None) -> int:
    """Find and run a command; a closed pipe is still an error."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    name = words[0] if words else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(f"CTSAM3DLib {__version__}")
        return 0
    if name not in COMMANDS:
        return _failed(f"unknown command {name!r}; known: {', '.join(COMMANDS)}")
    return _run(name, words[1:], debug)


def module_of(command: str) -> str:
    """Return the name of the module that runs a command."""
    return f"CTSAM3DLib.cli.{command.replace('-', '_')}"


def usage() -> str:
    """Return the text of ``--help``."""
    lines = ["usage: python -m CTSAM3DLib COMMAND ...", "", "commands:"]
    lines += [f"  {name:<19}{summary}" for name, summary in COMMANDS.items()]
    lines += ["", "COMMAND --help tells more; --debug shows where an error came from."]
    return "\n".join(lines)


def _run(command: str, words: list[str], debug: bool) -> int:
    """Run a command; turn errors into one plain line."""
    try:
        code = import_module(module_of(command)).main(words)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _failed(_plain(error))
    return int(code or 0)


def _plain(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"the Python package {error.name!r} is needed here and is not installed"
    if isinstance(error, (CTSAM3DError, OSError, ImportError)):
        return text
    return f"unexpected {type(error).__name__}: {text} (--debug shows where)"


def _failed(text: str) -> int:
    """Write one line to standard error and return the exit code of an error."""
    print(f"error: {text}", file=sys.stderr)
    return FAILURE


def _print_any_name() -> None:
    """Let standard streams replace what their encoding lacks: names may be Chinese."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def forget_output() -> None:
    """Let what is still to be printed go nowhere."""
    with suppress(OSError, ValueError):  # a stream without a file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
