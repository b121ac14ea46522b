"""Every command of the README is understood by the real parsers, and its Python runs as it is."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from CTSAM3DLib.bundles.import_config import read_import_config
from CTSAM3DLib.bundles.model_card import read_card
from CTSAM3DLib.cli import main as cli
from CTSAM3DLib.cli.demo import write_image
from CTSAM3DLib.io.clicks import read_clicks
from CTSAM3DLib.phantom import torso_phantom

REPOSITORY = Path(__file__).resolve().parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PYTHON = ".venv/bin/python"


def blocks(language: str) -> list[str]:
    """Return the code of one language, also of blocks in a list."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", README, re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(code) for _, code in found]


def shell_lines() -> Iterator[list[str]]:
    for block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


LIBRARY_COMMANDS = [words for words in shell_lines() if "CTSAM3DLib" in words]
MAKE_COMMANDS = [words for words in shell_lines() if words[0] == "make"]


class Parsed(Exception):  # noqa: N818 - ends a command, is no error
    """The words were understood."""


def test_the_readme_shows_each_command() -> None:
    shown = {words[3] for words in LIBRARY_COMMANDS}
    assert set(cli.COMMANDS) - shown == {"demo"}  # which `make demo` runs
    assert len(blocks("python")) > 0


@pytest.mark.parametrize("words", LIBRARY_COMMANDS, ids=" ".join)
def test_each_command_is_understood(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self: argparse.ArgumentParser, *arguments: object) -> None:
        parse(self, *arguments)  # type: ignore[arg-type]
        raise Parsed

    assert words[:3] == [PYTHON, "-m", "CTSAM3DLib"]
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    with pytest.raises(Parsed):
        import_module(cli.COMMANDS[words[3]].module).main(words[4:])


@pytest.mark.parametrize("words", MAKE_COMMANDS, ids=" ".join)
def test_each_make_command_exists(words: list[str]) -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for word in words[1:]:
        name, _, value = word.partition("=")
        pattern = rf"^{name} \?=" if value else rf"^\.PHONY: {name}$"
        assert re.search(pattern, makefile, re.MULTILINE), word


def test_methods_of_evaluate_exist() -> None:
    from CTSAM3DLib.evaluation.methods import MODEL, baseline_method, split_methods

    named = [
        words[words.index("--methods") + 1] for words in LIBRARY_COMMANDS if "--methods" in words
    ]
    methods = [name for text in named for name in split_methods(text)]
    assert "random_walker" in methods
    for name in methods:
        assert name == MODEL or baseline_method(name)


def test_the_sample_files_are_read(tmp_path: Path) -> None:
    kinds = []
    for number, block in enumerate(blocks("json")):
        path = tmp_path / f"{number}.json"
        path.write_text(block)
        if "structures" in json.loads(block):
            assert read_clicks(path)
            kinds.append("clicks")
        elif "training_data" in json.loads(block):
            assert read_card(path)
            kinds.append("card")
        elif "window_hu" in json.loads(block):
            assert read_import_config(path).spacing_mm == 1.5
            kinds.append("import")
    assert {"clicks", "card", "import"} <= set(kinds)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile(code, "README.md", "exec")
    if not code.startswith("import CTSAM3DLib\n"):
        return  # for the console of Slicer, where it goes on from block to block
    pytest.importorskip("torch")
    pytest.importorskip("SimpleITK")
    volume, _ = torso_phantom(spacing_mm=4.0)
    write_image(tmp_path / "scan.nii.gz", volume)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compiled, names)
    written = re.findall(r'\.save\("(.*?)"\)', code)
    assert all((tmp_path / name).stat().st_size > 100 for name in written)
    assert names["result"].volumes_cm3["liver"] > 1  # type: ignore[attr-defined]
