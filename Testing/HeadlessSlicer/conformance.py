"""Optional: Slicer's own Python files on the stand-in, and our tests on Slicer's real base classes.

`SLICER_SRC=<checkout of Slicer/Slicer> python -m Testing.HeadlessSlicer.conformance` runs three
parts, prints them, and writes `conformance.json` with the tag of the checkout and the counts.
Nothing of Slicer is copied into this repository: files of the checkout are linked in a temporary
folder. Each part is a process of its own, because a process can boot only once.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).with_name("conformance.json")
PYTHON_FOLDER = "Base/Python/slicer"
EFFECTS_FOLDER = "Modules/Loadable/Segmentations/EditorEffects/Python"
LINKED = ("ScriptedLoadableModule.py", "parameterNodeWrapper")
WRAPPER_TESTS = (
    "test_slicer_parameter_node_wrapper",
    "test_slicer_parameter_pack",
    "test_slicer_parameter_node_wrapper_guis",
)
# These test our own wrapper or base class where it differs from Slicer's on purpose.
NOT_FOR_REAL_CLASSES = ("ParameterTypesTest",)
SUMMARY = re.compile(r"(\d+) (passed|failed|skipped|error)")


def environment(source: Path, links: Path) -> dict[str, str]:
    """Return the environment in which the stand-in takes Slicer's files instead of ours."""
    base = links / "base"
    base.mkdir()
    for name in LINKED:
        (base / name).symlink_to(source / PYTHON_FOLDER / name)
    return {
        **os.environ,
        "HEADLESS_SLICER_BASE": str(base),
        "HEADLESS_SLICER_EFFECTS": str(source / EFFECTS_FOLDER),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(command: list[str], variables: dict[str, str]) -> tuple[int, str]:
    """Run a Python command in the repository; return its exit status and what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def unittest_counts(output: str) -> dict[str, int]:
    """Return the counts that `conformance_parts` prints in its last line."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {"run": 0, "passed": 0}


def pytest_counts(output: str) -> dict[str, int]:
    """Return the counts of the last line of pytest."""
    return {kind: int(count) for count, kind in SUMMARY.findall(output.splitlines()[-1])}


def tag_of(source: Path) -> str:
    """Return the tag of a checkout, or SLICER_TAG where it is no git repository."""
    described = subprocess.run(
        ["git", "-C", str(source), "describe", "--tags", "--always"],
        capture_output=True,
        text=True,
        check=False,
    )
    return os.environ.get("SLICER_TAG") or described.stdout.strip() or "unknown"


def main() -> int:
    """Run the three parts; return 0 if everything that must pass did."""
    if not os.environ.get("SLICER_SRC"):
        sys.stderr.write("SLICER_SRC is not set: skipped\n")
        return 0
    source = Path(os.environ["SLICER_SRC"]).resolve()
    results: dict[str, object] = {"tag": tag_of(source)}
    part = ["-m", "Testing.HeadlessSlicer.conformance_parts"]
    with tempfile.TemporaryDirectory() as folder:
        variables = environment(source, Path(folder))
        for name in WRAPPER_TESTS:
            tests = source / PYTHON_FOLDER / "tests" / f"{name}.py"
            _, output = run([*part, "tests", str(tests)], variables)
            results[name] = unittest_counts(output)
        status, output = run([*part, "effects"], variables)
        results["stock effects"] = unittest_counts(output)
        if status:
            sys.stderr.write(output)
        deselected = [f"not {name}" for name in NOT_FOR_REAL_CLASSES]
        suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "Testing/Slicer"]
        status, output = run([*suite, "-k", " and ".join(deselected)], variables)
        results["our tests on Slicer's base classes"] = pytest_counts(output)
        if status:
            sys.stderr.write(output)
    text = json.dumps(results, indent=2)
    RESULT.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
