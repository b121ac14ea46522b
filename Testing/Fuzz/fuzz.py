"""Changed files for every reader of files from elsewhere: an answer, or an error of ours.

Anything else is a finding: another error, a warning of a library, more work or more memory than
such a file can need. A file of each kind of finding is kept in ``Testing/Fuzz/kept``, and
``make test`` reads them all. Run in the folder of the repository::

    .venv/bin/python Testing/Fuzz/fuzz.py all --seconds 60
    .venv/bin/python Testing/Fuzz/fuzz.py nifti --runs 5000 --seed 7

Where ``atheris`` is installed (``Testing/Fuzz/requirements.txt``), it says which changes reach new
code.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "kept"
MOST_CALLS = 1_000_000  # Functions that are called for one file, of Python and of C,
CALLS_A_BYTE = 100  # and for each of its bytes
MOST_MIB = 300  # Memory that one file takes, where the system tells (Linux)
MOST_BYTES = 1 << 17
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
PIECES = (
    *(b"0", b"-1", b"1e400", b"nan", b"inf", b"1e-320", b"99999999999999999999", b"2147483648"),
    *(b"1_0", b"0x10", b"1,5", b"true", b"null", b"[]", b"{}", b'""', b'"\\ud800"', b"\n", b"\0"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b"\x7f\xc0\0\0", b"\0\0\xc0\x7f", b"\xff" * 4),
    *(b"\xff" * 8, b"\0" * 8, b"../", b"C:\\", b"\r\n", b",", b";", b"#", b"\\", b"(", b")"),
)


@dataclass(frozen=True)
class Target:
    """A reader of one file, and what writes sound files into an empty folder."""

    file: str  # Below the folder; the file that is changed
    read: Callable[[Path], object]
    seeds: Callable[[Path], Iterator[bytes]]  # Leaves there what the reader needs beside the file


class TooMuchWork(BaseException):
    """A file has more functions called than it can need."""


@contextlib.contextmanager
def counted_work(most: int) -> Iterator[None]:
    """Raise TooMuchWork after so many calls; a count, so that no clock decides."""
    left = most

    def called(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal left
        left -= event in ("call", "c_call")
        if left < 0:
            raise TooMuchWork

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextlib.contextmanager
def measured_memory() -> Iterator[Callable[[], int]]:
    """Tell the MiB by which this process has grown at most since then; 0 where nobody knows."""
    status = Path("/proc/self/status")

    def mib(name: str) -> int:
        return int(status.read_text().partition(f"{name}:")[2].split()[0]) >> 10

    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = mib("VmRSS")
    except OSError:
        yield lambda: 0
        return
    yield lambda: mib("VmHWM") - before


def fault_of(target: Target, path: Path, content: bytes) -> tuple[str, str]:
    """Have a file read; return how that ended and, for a finding, its kind."""
    from CTSAM3DLib.errors import CTSAM3DError

    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as told, measured_memory() as grown_mib:
        warnings.simplefilter("always")
        try:
            with counted_work(MOST_CALLS + CALLS_A_BYTE * len(content)):
                target.read(path)
            outcome = "read"
        except CTSAM3DError:
            outcome = "refused"
        except (Exception, TooMuchWork) as error:
            return "finding", f"{type(error).__name__} {_place(error)}"
        if grown_mib() > MOST_MIB:
            return "finding", "memory"
    for one in told:
        if outcome == "read" and issubclass(one.category, RuntimeWarning):  # of its numbers
            return "finding", f"{one.category.__name__} {Path(one.filename).name}:{one.lineno}"
    return outcome, ""


def _place(error: BaseException) -> str:
    """Return where in our code an error came from."""
    own = [s for s in traceback.extract_tb(error.__traceback__) if "CTSAM3DLib" in s.filename]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"


def changed(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Change a file at one or a few places; mostly numbers where it is text."""
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        numbers = list(NUMBER.finditer(out, 0, 4000)) if rng.random() < 0.4 else []
        begin = rng.randrange(min(len(out), rng.choice((64, 400, MOST_BYTES))) + 1)
        end = begin + rng.choice((0, 0, 1, 1, 2, 4, 8, 100))
        piece = rng.choice(PIECES)
        if numbers:
            begin, end = rng.choice(numbers).span()
        else:
            kind = rng.randrange(7)
            if kind == 0:
                piece = bytes([rng.randrange(256)])
            elif kind == 1 and begin < len(out):
                piece, end = bytes([out[begin] ^ (1 << rng.randrange(8))]), begin + 1
            elif kind == 2:
                piece = b""
            elif kind == 3:
                piece = bytes(out[begin:end]) * rng.choice((2, 3, 2000))
            elif kind == 4:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                piece = other[start : start + rng.choice((4, 40, 400))]
            elif kind == 5:
                piece, end = b"", len(out)
        out[begin:end] = piece
    return bytes(out[:MOST_BYTES])


class Run:
    """The files of one target: reads them, counts how that ended, keeps what finds something."""

    def __init__(self, name: str, folder: Path) -> None:
        from Testing.Fuzz.targets import TARGETS, seeds_of

        self.name, self.target = name, TARGETS[name]
        self.seeds = seeds_of(self.target, folder)
        self.path = folder / self.target.file
        self.counts: Counter[str] = Counter()
        self.findings: dict[str, bytes] = {}
        for seed in self.seeds:
            outcome = self.read(seed)
            if not self.findings and outcome != "read":
                raise AssertionError(f"{name}: a sound file was {outcome}")

    def read(self, content: bytes) -> str:
        outcome, kind = fault_of(self.target, self.path, content)
        self.counts[outcome] += 1
        if kind and len(content) < len(self.findings.get(kind, bytes(MOST_BYTES + 1))):
            self.findings[kind] = content
        return outcome

    def change(self, runs: int, seconds: float, seed: int) -> None:
        """Read changed files until one of both is reached."""
        rng, end = random.Random(f"{self.name} {seed}"), time.monotonic() + seconds
        pool = [*self.seeds, *kept_files(self.name)]
        while runs and time.monotonic() < end:
            self.read(changed(rng.choice(pool), pool, rng))
            runs -= 1

    def guided(self, seconds: float, corpus: Path) -> None:
        """Have atheris choose the changes."""
        import atheris

        end = time.monotonic() + seconds
        pool = [*self.seeds, *kept_files(self.name)]
        for number, content in enumerate(pool):
            (corpus / str(number)).write_bytes(content)

        def one(content: bytes) -> None:
            if time.monotonic() > end:
                self.report()
                os._exit(bool(self.findings))
            self.read(content)

        def mutator(content: bytes, most: int, seed: int) -> bytes:
            rng = random.Random(seed)
            if rng.random() < 0.3:
                return bytes(atheris.Mutate(content, most))
            return changed(content, pool, rng)[:most]

        options = [f"-max_len={MOST_BYTES}", "-timeout=300", "-rss_limit_mb=6000", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutator)
        atheris.Fuzz()

    def report(self) -> None:
        """Print the counts, and keep a file of each kind of finding."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.counts.items()))
        lines = [f"{self.name}: {counts}"]
        for kind, content in self.findings.items():
            lines.append(f"    {kind}: {keep(self.name, content)}")
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def kept_files(name: str) -> list[bytes]:
    """Return the files that found something in a target."""
    return [path.read_bytes() for path in sorted((KEPT / name).glob("*"))]


def keep(name: str, content: bytes) -> Path:
    """Keep a file that found something."""
    path = KEPT / name / hashlib.sha256(content).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _in_processes(names: list[str], options: list[str]) -> int:
    """Run each target in a process of its own: some readers are C++ and may end it."""
    failed = 0
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, name, "--folder", folder, *options]
            done = subprocess.run(command, check=False)
            failed |= done.returncode
            if done.returncode not in (0, 1):
                from Testing.Fuzz.targets import TARGETS

                last = (Path(folder) / TARGETS[name].file).read_bytes()
                sys.stdout.write(f"{name}: ended by {done.returncode}: {keep(name, last)}\n")
    return int(bool(failed))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("target", help="name of a target in targets.py, or all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--runs", type=int, default=-1, help="files at most, without atheris")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]
    is_guided = options.runs < 0 and importlib.util.find_spec("atheris") is not None
    if options.folder is None:
        from Testing.Fuzz.targets import TARGETS

        names = list(TARGETS) if options.target == "all" else [options.target]
        words = [f"--{key}={getattr(options, key)}" for key in ("seconds", "runs", "seed")]
        return _in_processes(names, words)
    scope: Any = contextlib.nullcontext()
    if is_guided:
        import atheris

        scope = atheris.instrument_imports(include=["CTSAM3DLib"])
    with scope, tempfile.TemporaryDirectory() as corpus:
        run = Run(options.target, options.folder)
        if is_guided:
            run.guided(options.seconds, Path(corpus))
        run.change(options.runs, options.seconds, options.seed)
    run.report()
    return int(bool(run.findings))


if __name__ == "__main__":
    sys.exit(main())
