"""README and docs: commands, Python and JSON run as they stand, links lead somewhere.

The pages of Slicer's Python console are run by ``Testing/Slicer/test_console_examples.py``.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from CTSAM3DLib.bundles.model_card import read_card
from CTSAM3DLib.cli import main as cli
from CTSAM3DLib.cli.demo import write_image
from CTSAM3DLib.geometry import Geometry, Volume
from CTSAM3DLib.io import read_clicks
from CTSAM3DLib.phantom import torso_phantom
from CTSAM3DLib.training.config import TrainConfig

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*")))
}
LARGEST_README = 8000  # bytes: what a user reads before the first click
PYTHON = ".venv/bin/python"
# The commands of these pages run here, from the first to the last, with small files. Those of the
# other pages need weights or a graphics card that a test has not: their parsers read them.
RUN = ("docs/command-line.md", "docs/cohorts.md", "docs/training.md")
CONSOLE = "slicer.util."  # on a page for the console of Slicer
SMALL = {"patch_size": 32, "widths": [4, 8, 8, 8, 8], "hidden": 4, "spacing_range_mm": [2, 2.5]}


def blocks(page: str, language: str) -> list[str]:
    """Return the code of one language on a page, also of blocks in a list."""
    pattern = rf"^( *)```{language}\n(.*?)^\1```$"
    found = re.findall(pattern, PAGES[page], re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def shell_lines(page: str) -> Iterator[list[str]]:
    """Return the words of each command of a page: of its blocks and of its tables."""
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words
    for code in re.findall(
        r"^\|.*\| `((?:make|bash|[A-Z_]+=|\.venv)[^`|]*)` \|$", PAGES[page], re.MULTILINE
    ):
        yield shlex.split(code)


COMMANDS = [(page, words) for page in PAGES for words in shell_lines(page)]
LIBRARY_COMMANDS = [words for _, words in COMMANDS if "CTSAM3DLib" in words]


def words_id(value: object) -> str | None:
    return " ".join(value) if isinstance(value, list) else None


# ---- pages ------------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_bytes()) <= LARGEST_README


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_exist(page: str) -> None:
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    inside = [target for target in targets if "://" not in target]
    missing = [target for target in inside if not _leads_somewhere(page, target)]
    assert missing == []


def _leads_somewhere(page: str, target: str) -> bool:
    """Return whether file and heading of a link exist."""
    name, _, heading = target.partition("#")
    path = (REPOSITORY / page).parent / name if name else REPOSITORY / page
    if not path.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE) if heading else []
    anchors = {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}
    return not heading or heading in anchors


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    named = re.findall(r"`((?:CTSAM3D|CTSAM3DLib|Testing|Resources|tools)/[\w./-]+)`", PAGES[page])
    assert [name for name in named if not (REPOSITORY / name).exists()] == []


def test_architecture_shows_the_rooms_and_layers_that_are_checked() -> None:
    text = PAGES["docs/architecture.md"]
    contracts = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    (listed,) = re.findall(
        r'^id = "layers".*?^layers = \[\n(.*?)^\]', contracts, re.DOTALL | re.MULTILINE
    )
    shown = blocks("docs/architecture.md", "text")[0].splitlines()
    assert shown[1:] == re.findall(r'"(.+)"', listed)  # after the module, which is no part of it
    rooms = [path.parent.name for path in (REPOSITORY / "CTSAM3DLib").glob("*/__init__.py")]
    table = text.partition("## The rooms")[2].partition("\n## ")[0]
    assert [name for name in rooms if not re.search(rf"[`/]{name}`", table)] == []


def test_the_way_of_a_click_names_what_the_code_has() -> None:
    text = PAGES["docs/architecture.md"].partition("## The way of a click")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \d \| \w+ \| `(?:(\w+)\.)?(\w+)` \| `(.+?)` \|", text, re.MULTILINE)
    assert len(rows) == 8
    assert len({name for _, _, name in rows}) == 7
    for owner, call, name in rows:
        code = (REPOSITORY / name).read_text(encoding="utf-8")
        assert re.search(
            rf"^class {owner}\b.*?^    def {call}\(" if owner else rf"^def {call}\(",
            code,
            re.DOTALL | re.MULTILINE,
        ), f"{name}: {owner}.{call}"
    for call, name in re.findall(r"^\d\. `(?:\w+\.)?(\w+)` \(`(.+?)`\)", text, re.MULTILINE):
        assert f"def {call}(" in (REPOSITORY / name).read_text(encoding="utf-8"), f"{name}: {call}"


def test_each_page_is_linked_from_readme_or_contributing() -> None:
    linked = PAGES["README.md"] + PAGES["CONTRIBUTING.md"]
    assert [page for page in PAGES if page.startswith("docs/") and f"({page})" not in linked] == []


def test_each_message_of_troubleshooting_is_said_by_the_code() -> None:
    sources = [
        path for folder in ("CTSAM3D", "CTSAM3DLib") for path in (REPOSITORY / folder).rglob("*.py")
    ]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    texts = {
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    rows = re.findall(r"^\| (.+?) \| .+ \|$", PAGES["docs/troubleshooting.md"], re.MULTILINE)[2:]
    parts = [part.strip(" ,;") for row in rows for part in row.split("…")]
    assert len(rows) > 10
    assert [part for part in parts if not any(part in text for text in texts)] == []


# ---- commands -----------------------------------------------------------------------------------


class Parsed(Exception):  # noqa: N818 - ends a command, is no error
    """The words were understood."""


def test_each_command_is_shown() -> None:
    shown = {words[3] for words in LIBRARY_COMMANDS}
    assert set(cli.COMMANDS) - shown == {"demo"}  # which `make demo` runs


@pytest.mark.parametrize("words", LIBRARY_COMMANDS, ids=" ".join)
def test_each_command_is_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *arguments: object) -> None:
        parse(self, *arguments)  # type: ignore[arg-type]
        raise Parsed

    assert words[:3] == [PYTHON, "-m", "CTSAM3DLib"]
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Parsed):
        import_module(cli.module_of(words[3])).main(words[4:])


@pytest.mark.parametrize(
    ("page", "words"), [one for one in COMMANDS if "CTSAM3DLib" not in one[1]], ids=words_id
)
def test_what_other_commands_name_exists(page: str, words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=\S+", words[0]):  # variables of the environment
        words = words[1:]
    if words[0] == "make":
        makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
        for word in words[1:]:
            name, _, value = word.partition("=")
            pattern = rf"(^{name} \?=|\$\({name}\))" if value else rf"^\.PHONY: {name}$"
            assert re.search(pattern, makefile, re.MULTILINE), word
    elif words[0] == PYTHON and words[1] == "-m":
        assert find_spec(words[2]), words
    elif words[0] in (PYTHON, "bash", "sh"):
        assert (REPOSITORY / words[1]).is_file(), words
    else:
        assert words[0] in ("git", ".venv/bin/pip", "apt-get"), f"{page}: {words}"


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_commands_of_a_page_run(page: str, small_files: Path) -> None:
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    for words in [words for where, words in COMMANDS if where == page]:
        if words[0] == PYTHON:
            assert cli.main(shortened(words[3:])) == 0, " ".join(words)
    torch.set_num_threads(threads)
    assert [name for name in _WRITTEN[page] if not (small_files / name).stat().st_size] == []


_WRITTEN = {
    "docs/command-line.md": (
        *("organs.seg.nrrd", "organs.png", "results/batch_report.json", "table.md"),
    ),
    "docs/cohorts.md": (
        *("cohort/scan.nii.gz", "cohort/scan.labels.json", "cohort/batch_report.html"),
        *("one.dcm", "one.nii.gz", "one.csv"),
    ),
    "docs/training.md": ("train.npz", "run/last.pt", "MODELS/my-model.pt", "ADAPTED/my-second.pt"),
}


def shortened(words: list[str]) -> list[str]:
    """Return a command that trains or measures briefly, without Slicer where it is absent."""
    words = list(words)
    if words[0] == "evaluate":
        words += ["--clicks", "2"]
    brief = {"--iterations": "1", "--seconds": "1", "--total-seconds": "2"}
    brief["--cpu-minutes"] = "1e-6"
    if not import_module("torch").cuda.is_available():
        brief["--device"] = "cpu"
    for option in brief.keys() & set(words):
        words[words.index(option) + 1] = brief[option]
    if "--methods" in words and find_spec("slicer") is None:
        place = words.index("--methods") + 1
        words[place] = words[place].replace("grow_from_seeds,", "")
    elif "evaluate" in words and "--methods" not in words and find_spec("slicer") is None:
        words += ["--methods", "model"]
    return words


# ---- the files that the examples name -----------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that commands and Python of the pages read, all of them small."""
    pytest.importorskip("SimpleITK")
    folder = tmp_path_factory.mktemp("examples")
    volume, _ = torso_phantom(spacing_mm=8.0)
    write_image(folder / "scan.nii.gz", volume)
    _write_dicom(folder / "dicom-folder", volume, "1.2.840.1")
    clicks, *_ = [code for code in blocks("docs/command-line.md", "json") if "structures" in code]
    (folder / "clicks.json").write_text(clicks)
    points = [{"label": "liver-1", "position": [-87.0, -17.0, -39.0]}]
    markups = {"markups": [{"type": "Fiducial", "controlPoints": points}]}
    (folder / "points.mrk.json").write_text(json.dumps(markups))
    (folder / "table.csv").write_text("ct,clicks\nscan.nii.gz,clicks.json\n")
    config, card = blocks("docs/training.md", "json")
    (folder / "config.json").write_text(json.dumps(json.loads(config) | SMALL))
    (folder / "card.json").write_text(card)
    for name, split in (("balls__1", "train"), ("balls__2", "validation")):
        _write_labelled(folder / "DATA" / "ct" / name, split)
    return folder


@pytest.fixture
def small_files(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the files, as the current one."""
    monkeypatch.chdir(files)
    return files


def _write_dicom(folder: Path, volume: Volume, series: str) -> None:
    """Write a volume with the axes of the body as a DICOM series."""
    import SimpleITK as sitk

    folder.mkdir()
    origin_lps, spacing_mm, _ = volume.geometry.lps()
    for k, slice_ji in enumerate(np.asarray(volume.array_kji)):
        image = sitk.GetImageFromArray(slice_ji[None].astype(np.int16))
        image.SetSpacing(spacing_mm)
        place = (origin_lps[0], origin_lps[1], origin_lps[2] + k * spacing_mm[2])
        tags = {"0008|0060": "CT", "0020|000d": "1.2", "0020|000e": series, "0020|0052": "1.3"}
        tags["0020|0032"] = "\\".join(f"{value:g}" for value in place)
        tags["0020|0037"] = "1\\0\\0\\0\\1\\0"
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(folder / f"{k}.dcm"))
        writer.Execute(image)


def _write_labelled(folder: Path, split: str) -> None:
    """Write a labelled CT of a ball in a body."""
    folder.mkdir(parents=True)
    axes = np.ogrid[:40, :44, :48]
    ball = sum((axis - 20) ** 2 for axis in axes) < 49
    hu = np.full(ball.shape, -1000, np.int16)
    hu[4:36, 4:40, 4:44] = 0
    hu[ball] = 150
    geometry = Geometry(np.diag([2.0, 2.0, 2.0, 1.0]), ball.shape)
    write_image(folder / "ct.nii.gz", Volume(hu, geometry))
    write_image(folder / "labels.nii.gz", Volume(ball.astype(np.int16), geometry))
    (folder / "labels.json").write_text(json.dumps({"1": "spleen"}))
    meta = {"split": split, "label_origin": "human (test)", "body_region": "abdomen"}
    (folder / "meta.json").write_text(json.dumps(meta))


# ---- JSON and Python ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [code for page in PAGES for code in blocks(page, "json")])
def test_sample_files_are_read(code: str, tmp_path: Path) -> None:
    from CTSAM3DLib.bundles.importing import read_import_config

    readers = {
        "structures": read_clicks,
        "training_data": read_card,
        "window_hu": read_import_config,
        "": TrainConfig.read,
    }
    path = tmp_path / "sample.json"
    path.write_text(code)
    kind = next(name for name in readers if name in json.loads(code) or not name)
    assert readers[kind](path)


PYTHON_BLOCKS = [(page, code) for page in PAGES for code in blocks(page, "python")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "code"), [one for one in PYTHON_BLOCKS if CONSOLE not in PAGES[one[0]]]
)
def test_python_runs(page: str, code: str, small_files: Path) -> None:
    pytest.importorskip("torch")
    names: dict[str, object] = {"__name__": page}
    exec(compile(code, page, "exec"), names)
    for name in re.findall(r'\.save\("(.*?)"\)', code):
        assert (small_files / name).stat().st_size > 100
    if page == "docs/python.md":
        assert names["result"].volumes_cm3["liver"] > 1  # type: ignore[attr-defined]
