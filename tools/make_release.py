"""Write what is committed as a new repository of one commit, checked as the index checks it.

``python tools/make_release.py DIR [--allow-unset-address]``; see docs/publishing.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_extension import MOST_MB, REPOSITORY, UNSET_ADDRESS_FAULT, faults, size_mb, version
from sbom import SUFFIX, hash_faults, write_bill

STUB = Path("Testing", "Packaging", "slicer_stub")


class ReleaseError(Exception):
    """A release that the index would refuse; the text says what to do."""


def make_release(
    folder: Path,
    source: Path = REPOSITORY,
    allow_unset_address: bool = False,
    most_mb: float = MOST_MB,
) -> list[str]:
    """Write a release into a folder that does not exist yet; returns what was done.

    The packages that it pins are listed in a file beside the folder.

    Parameters
    ----------
    folder : Path
        Where the new repository goes.
    source : Path
        The repository whose HEAD is released.
    allow_unset_address : bool
        Accept the address that stands for the public one, for a rehearsal.
    most_mb : float
        Largest size of clone and work tree together.

    Raises
    ------
    ReleaseError
        With every fault; nothing is left in the folder.
    """
    if folder.exists():
        raise ReleaseError(f"{folder} exists: name a new folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".release-") as scratch:
        release = Path(scratch, "release")
        tag = _write(release, source)
        found = faults(release) + hash_faults(release)
        if allow_unset_address:
            found = [fault for fault in found if not fault.startswith(UNSET_ADDRESS_FAULT)]
        size = size_mb(release)
        if size > most_mb:
            found.append(f"{size:.1f} MB with .git, at most {most_mb} MB: remove large files")
        if found:
            raise ReleaseError("\n".join(found))
        built = _build(release, Path(scratch))
        packages = Path(scratch, "packages")
        write_bill(packages, release)
        release.rename(folder)
        listed = packages.rename(folder.with_name(folder.name + SUFFIX))
    wrote = f"wrote {folder}: one commit, tag {tag}, {size:.1f} MB with .git"
    return [wrote, built, f"wrote {listed}: the packages that it pins (CycloneDX)"]


def _write(release: Path, source: Path) -> str:
    """Make the repository of one commit from HEAD; returns its tag."""
    release.mkdir()
    archive = subprocess.run(
        ["git", "-C", source, "archive", "HEAD"], stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", release], input=archive.stdout, check=True)
    # Author and time of the commit that is released: the same release twice is the same commit.
    form = "--format=%an%n%ae%n%aI"
    name, email, time = _run("git", "-C", source, "log", "-1", form).splitlines()
    who = {"NAME": name, "EMAIL": email, "DATE": time}
    variables = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    tag = f"v{version(release)}"
    for words in (
        ("init", "-q", "-b", "main"),
        ("add", "--all", "--force"),
        ("commit", "-q", "--no-verify", "-m", f"CT-SAM3D for 3D Slicer {version(release)}"),
        ("tag", tag),
        ("gc", "-q"),
    ):
        _run("git", "-C", release, "-c", "commit.gpgsign=false", *words, **variables)
    return tag


def _build(release: Path, scratch: Path) -> str:
    """Configure, build and install the release; returns one line on what was used."""
    if shutil.which("cmake") is None:
        return "not built: cmake is not installed"
    slicer = os.environ.get("Slicer_DIR") or str(release / STUB)  # noqa: SIM112 - its name
    build, prefix = scratch / "build", scratch / "installed"
    try:
        _run("cmake", "-S", release, "-B", build, f"-DSlicer_DIR={slicer}", "--no-warn-unused-cli")
        _run("cmake", "--build", build)
        _run("cmake", "--install", build, "--prefix", prefix)
    except subprocess.CalledProcessError as error:
        raise ReleaseError(f"it does not build:\n{error.stdout}{error.stderr}") from error
    files = sum(path.is_file() for path in prefix.rglob("*"))
    return f"built and installed {files} files with {slicer.removeprefix(f'{release}/')}"


def _run(*words: str | Path, **variables: str) -> str:
    """Run a command; returns what it prints."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | variables
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to make")
    parser.add_argument("--allow-unset-address", action="store_true", help="for a rehearsal")
    options = parser.parse_args()
    try:
        lines = make_release(options.folder, allow_unset_address=options.allow_unset_address)
    except ReleaseError as error:
        print(f"Nothing was released:\n{error}", file=sys.stderr)
        return 1
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
