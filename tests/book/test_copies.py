"""`make lab` opens copies: they follow the course, and what a reader has edited is never lost."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from pages import ROOT

import copies
import lab


def notebook(source: str, output: str = "") -> str:
    cell = {"cell_type": "code", "source": [source], "outputs": [output] if output else []}
    return json.dumps({"cells": [cell]})


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_copy_that_nobody_touched_follows_the_course(tmp_path: Path, said: list[str]) -> None:
    for text in (notebook("1"), notebook("2"), notebook("2", "a figure")):
        copies.refresh(tmp_path, {"a/b.ipynb": text}, said.append)
        assert (tmp_path / "a/b.ipynb").read_text() == text
    assert not said


def test_an_edited_copy_stays_and_its_reader_is_told_once_there_is_news(
    tmp_path: Path, said: list[str]
) -> None:
    mine = notebook("mine")
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    (tmp_path / "b.ipynb").write_text(mine)
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    assert not said
    copies.refresh(tmp_path, {"b.ipynb": notebook("2")}, said.append)
    assert "b.ipynb: kept" in said[0]
    assert (tmp_path / "b.ipynb").read_text() == mine


def test_a_copy_that_was_only_run_keeps_its_outputs_until_the_course_changes(
    tmp_path: Path, said: list[str]
) -> None:
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    (tmp_path / "b.ipynb").write_text(notebook("1", "my output"))
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    assert "my output" in (tmp_path / "b.ipynb").read_text()
    copies.refresh(tmp_path, {"b.ipynb": notebook("2")}, said.append)
    assert (tmp_path / "b.ipynb").read_text() == notebook("2")
    assert not said


@pytest.mark.parametrize("damage", ["not JSON", "[]", '{"cells": 5}'])
def test_whatever_somebody_made_of_a_copy_is_theirs(
    tmp_path: Path, said: list[str], damage: str
) -> None:
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    (tmp_path / "b.ipynb").write_text(damage)
    copies.refresh(tmp_path, {"b.ipynb": notebook("2")}, said.append)
    assert (tmp_path / "b.ipynb").read_text() == damage


@pytest.mark.parametrize("manifest", ["", "{", "[]"])
def test_without_its_manifest_nothing_is_overwritten(
    tmp_path: Path, said: list[str], manifest: str
) -> None:
    copies.refresh(tmp_path, {"b.ipynb": notebook("mine")}, said.append)
    (tmp_path / copies.MANIFEST).write_text(manifest)
    copies.refresh(tmp_path, {"b.ipynb": notebook("2")}, said.append)
    assert (tmp_path / "b.ipynb").read_text() == notebook("mine")
    assert said


def test_a_deleted_copy_comes_back(tmp_path: Path, said: list[str]) -> None:
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    (tmp_path / "b.ipynb").unlink()
    copies.refresh(tmp_path, {"b.ipynb": notebook("1")}, said.append)
    assert (tmp_path / "b.ipynb").exists()


def test_links_between_the_copies_lead_somewhere() -> None:
    files = copies.course_files()
    for name, text in files.items():
        for target in re.findall(r"\]\(([^)\s:#\\]+\.(?:md|ipynb))[)#]", text):
            assert os.path.normpath(Path(name).parent / target) in files, f"{name}: {target}"


def test_the_first_page_leads_to_every_page_in_both_languages() -> None:
    files = copies.course_files()
    linked = set(re.findall(r"\]\(([^)#]+)\)", files["START.md"]))
    assert set(files) - {"START.md"} == linked


def test_jupyterlab_serves_the_course_and_opens_the_first_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lab.os, "geteuid", lambda: 1000)
    call = lab.arguments(["--port=1"])
    assert call[0] == sys.executable
    assert f"--ServerApp.root_dir={ROOT}" in call
    assert "--LabApp.default_url=/lab/tree/work/START.md" in call
    assert call[-1] == "--port=1"
    assert "--allow-root" not in call
    monkeypatch.setattr(lab.os, "geteuid", lambda: 0)
    assert "--allow-root" in lab.arguments([])


def test_the_settings_are_defaults_below_the_readers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/mine")
    ours, theirs = lab.environment()["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert theirs == "/mine"
    overrides = Path(ours) / "labconfig" / "default_setting_overrides.json"
    assert json.loads(overrides.read_text())
