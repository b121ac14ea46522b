"""Manifests, ids, paths and damaged files of model bundles."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from manifest_case import CONTENT, entry_values, write_manifest

from CTSAM3DLib.errors import BundleError, OutputFileError, UntrustedModelError
from CTSAM3DLib.models import store as model_store
from CTSAM3DLib.models.store import (
    ModelStore,
    resolve_model,
    trust_model,
    user_models_folder,
    verify,
)


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))


def test_default_id_and_settings(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"), entry_values("b.pt"), default="b")
    store = ModelStore([tmp_path])
    assert resolve_model(None, store).model_id == "b"
    entry = resolve_model("a", store)
    assert entry.path == tmp_path / "a.pt"
    assert entry.licence == "Apache-2.0"
    assert entry.quality == {"dice": 0.9}
    assert entry.training_data[0]["licence"] == "CC-BY-4.0"
    assert entry.settings.patch_size == 64
    assert entry.settings.spacing_range_mm == (1.5, 4.0)
    assert entry.settings.windows_hu == ((-125.0, 225.0), (-1000.0, 400.0))


def test_without_a_named_default_the_first_model_counts(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("b.pt"), entry_values("a.pt"))
    assert resolve_model(None, ModelStore([tmp_path])).model_id == "b"


def test_the_first_folder_wins(tmp_path) -> None:
    write_manifest(tmp_path / "1", entry_values("a.pt"), entry_values("b.pt"), default="b")
    write_manifest(tmp_path / "2", entry_values("b.pt"), entry_values("c.pt"), default="c")
    store = ModelStore([tmp_path / "none", tmp_path / "1", tmp_path / "2"])
    assert store.default().path == tmp_path / "1" / "b.pt"
    assert {name: entry.path.parent.name for name, entry in store.entries().items()} == {
        "a": "1",
        "b": "1",
        "c": "2",
    }


def test_unknown_id_names_the_known_ones(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("b.pt"), entry_values("a.pt"))
    with pytest.raises(BundleError, match="unknown model 'c'; known models: a, b"):
        resolve_model("c", ModelStore([tmp_path]))


def test_no_model_at_all_names_the_places(tmp_path) -> None:
    with pytest.raises(BundleError, match=r"no model is installed.*nowhere"):
        resolve_model(None, ModelStore([tmp_path / "nowhere"]))


def test_truncated_file(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    (tmp_path / "a.pt").write_bytes(CONTENT[:100])
    with pytest.raises(BundleError, match="truncated: expected 5120 bytes, got 100"):
        resolve_model("a", ModelStore([tmp_path]))


def test_file_of_another_size(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    (tmp_path / "a.pt").write_bytes(CONTENT + b"x")
    with pytest.raises(BundleError, match="not the expected file: expected 5120 bytes, got 5121"):
        resolve_model("a", ModelStore([tmp_path]))


def test_altered_file_also_after_a_good_check(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    store = ModelStore([tmp_path])
    path = resolve_model("a", store).path
    path.write_bytes(CONTENT[:-1] + b"x")
    os.utime(path, ns=(1, 1))
    with pytest.raises(BundleError, match=r"altered: expected SHA-256 [0-9a-f]{64}, got"):
        resolve_model("a", store)


def test_missing_file(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    (tmp_path / "a.pt").unlink()
    with pytest.raises(BundleError, match=r"file of model 'a' is missing: .*a\.pt"):
        resolve_model("a", ModelStore([tmp_path]))


def test_an_unchanged_file_is_read_once(tmp_path, monkeypatch) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    reads = []
    real = hashlib.sha256
    monkeypatch.setattr(model_store.hashlib, "sha256", lambda: reads.append(1) or real())
    entry = ModelStore([tmp_path]).entry("a")
    assert verify(entry) == verify(entry) == tmp_path / "a.pt"
    assert len(reads) == 1


def test_path_with_sidecar(tmp_path) -> None:
    path = tmp_path / "mine.pt"
    path.write_bytes(CONTENT)
    (tmp_path / "mine.pt.json").write_text(json.dumps(entry_values("old-name.pt", id="mine")))
    assert trust_model(path).model_id == "mine"
    for model in (path, str(path)):
        assert resolve_model(model, ModelStore([])).path == path


def test_path_of_a_manifest_entry(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"), entry_values("b.pt"))
    trust_model(tmp_path / "b.pt")
    assert resolve_model(tmp_path / "b.pt", ModelStore([])).model_id == "b"


@pytest.mark.parametrize("beside", ["x.pt.json", "models.json"])
def test_what_lies_beside_a_file_does_not_vouch_for_it(tmp_path, beside) -> None:
    path = tmp_path / "theirs" / "x.pt"
    manifest = write_manifest(path.parent, entry_values("x.pt"))
    if beside != manifest.name:
        manifest.unlink()
        (path.parent / beside).write_text(json.dumps(entry_values("x.pt")))
    with pytest.raises(UntrustedModelError, match=r'models trust ".*x\.pt", or in Python'):
        resolve_model(path)
    with pytest.raises(UntrustedModelError):
        resolve_model(str(path), ModelStore([]))
    # The same file in a folder of this installation is one of its models, from wherever it is read.
    write_manifest(tmp_path / "ours", entry_values("other-name.pt"))
    assert resolve_model(path, ModelStore([tmp_path / "ours"])).path == path


def test_trust_is_in_a_content_and_not_in_a_name(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    trust_model(tmp_path / "a.pt")
    other = CONTENT[::-1]
    write_manifest(tmp_path, entry_values("a.pt", other))
    (tmp_path / "a.pt").write_bytes(other)
    with pytest.raises(UntrustedModelError, match="was not made on this computer"):
        resolve_model(tmp_path / "a.pt")


def test_trust_is_kept_after_a_record_that_was_cut_off(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    listing = user_models_folder().parent / model_store.TRUSTED_NAME
    listing.parent.mkdir(parents=True)
    listing.write_bytes(b"0123\xff")
    trust_model(tmp_path / "a.pt")
    assert resolve_model(tmp_path / "a.pt").model_id == "a"


def test_a_damaged_file_cannot_be_trusted(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    (tmp_path / "a.pt").write_bytes(CONTENT[:-1])
    with pytest.raises(BundleError, match="truncated"):
        trust_model(tmp_path / "a.pt")


def test_path_that_nothing_vouches_for(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"))
    (tmp_path / "x.pt").write_bytes(CONTENT)
    with pytest.raises(BundleError, match=r"x\.pt has no entry: .*x\.pt\.json"):
        resolve_model(tmp_path / "x.pt")
    with pytest.raises(BundleError, match=r"the model file is missing: .*y\.pt"):
        resolve_model(tmp_path / "y.pt")
    with pytest.raises(BundleError, match=r"the model file is missing: y\.pt"):
        resolve_model("y.pt")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "expected a readable model manifest"),
        ("[]", "expected a manifest of schema 1, got schema None"),
        ('{"schema": 2, "models": []}', "expected a manifest of schema 1, got schema 2"),
        ('{"schema": 1, "models": {}}', "expected a list of 'models', got dict"),
        ('{"schema": 1, "models": [3]}', "expected an object with an 'id' for each model, got 3"),
    ],
)
def test_unusable_manifest(tmp_path, text, problem) -> None:
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(BundleError, match=problem):
        resolve_model(None, ModelStore([tmp_path]))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sha256": None}, "model 'a' lacks the entry 'sha256'"),
        ({"patch_size": None}, "model 'a': model settings lack the entry 'patch_size'"),
        ({"sha256": "12"}, "64 hexadecimal digits under 'sha256', got '12'"),
        ({"bytes": "big"}, "positive integer under 'bytes', got 'big'"),
        ({"file": "../a.pt"}, "plain file name under 'file', got '../a.pt'"),
        ({"spacing_range_mm": [4, 2]}, "0 < smallest <= default <= largest"),
        ({"windows_hu": [[5, 5]]}, "low < high"),
        ({"windows_hu": 3}, "wrong type"),
        ({"training_data": 3}, "model 'a': 'int' object is not iterable"),
    ],
)
def test_unusable_entry(tmp_path, changes, problem) -> None:
    values = {**entry_values("a.pt"), **changes}
    entry = {key: value for key, value in values.items() if value is not None}
    (tmp_path / "models.json").write_text(json.dumps({"schema": 1, "models": [entry]}))
    with pytest.raises(BundleError, match=problem):
        resolve_model(None, ModelStore([tmp_path]))


def test_a_default_that_does_not_exist(tmp_path) -> None:
    write_manifest(tmp_path, entry_values("a.pt"), default="z")
    with pytest.raises(BundleError, match="default model 'z' is not among its models"):
        resolve_model(None, ModelStore([tmp_path]))


def test_environment_folder_comes_first_and_user_folder_last(tmp_path, monkeypatch) -> None:
    write_manifest(tmp_path / "env", entry_values("a.pt"))
    write_manifest(tmp_path / "data" / "CTSAM3D" / "models", entry_values("u.pt"))
    monkeypatch.setenv("CTSAM3D_MODELS", os.pathsep.join([str(tmp_path / "env"), ""]))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(model_store.sys, "platform", "linux")
    assert resolve_model().model_id == "a"
    assert resolve_model("u").path.parent == user_models_folder()


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("win32", "LOCALAPPDATA", "base/CTSAM3D/models"),
        ("linux", "XDG_DATA_HOME", "base/CTSAM3D/models"),
        ("darwin", "UNUSED", "Library/Application Support/CTSAM3D/models"),
    ],
)
def test_user_folder_of_each_platform(monkeypatch, platform, variable, expected) -> None:
    monkeypatch.setattr(model_store.sys, "platform", platform)
    monkeypatch.setenv(variable, "base")
    assert user_models_folder().as_posix().endswith(expected)


def test_without_a_home_folder_what_is_installed_is_there(monkeypatch) -> None:
    def nowhere() -> None:
        raise RuntimeError("Could not determine home directory.")

    for variable in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    entry = resolve_model()
    assert resolve_model(str(entry.path)) == entry
    for needs_home in (user_models_folder, ModelStore.user):
        with pytest.raises(OutputFileError, match="expected a home folder"):
            needs_home()
