"""The course in JupyterLab as `make lab` opens it, and a browser in front of it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import CASE, LAB, ROOT, WORK
from playwright.sync_api import Browser, Page, expect

from minitrain.common.paths import store_root
from minitrain.runs import experiments
from minitrain.runs.store import Store
from minitrain.runs.workload import cost

PATIENCE = 240  # seconds; other programs may keep the cores busy
SECONDS_TO_STOP = 20


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of its own with the runs that lab and case show, but for one: that one is trained."""
    folder = tmp_path / "runs"
    shown = Store(store_root())
    points = experiments.load(LAB).points()
    lacking = min((point.config for point in points), key=cost)
    for recipe in dict.fromkeys(p.recipe for p in [*points, *experiments.load(CASE).points()]):
        if recipe.config != lacking and (run := shown.find(recipe)):
            shutil.copytree(run.path, folder / run.path.name)
    return folder


@pytest.fixture
def server(store: Path) -> Iterator[str]:
    """The address of the course, opened by the very program that `make lab` runs."""
    shutil.rmtree(ROOT / WORK, ignore_errors=True)
    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    options = [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}", "--no-browser"]
    environment = os.environ | {"MINITRAIN_STORE": str(store), "COURSE_WORK": str(WORK)}
    # A desktop of its own: what the last reader had open would open again.
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(store / "workspaces")
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(store / "settings")
    command = [sys.executable, str(ROOT / "tools" / "lab.py"), *options]
    with (
        (ROOT / "_build" / "jupyterlab-test.log").open("w") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_for(f"http://localhost:{port}/api", process)
            yield f"http://localhost:{port}/?token={token}"
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                # A server that is told to stop while a kernel restarts waits for it for ever.
                process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(address)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail("JupyterLab does not start; see _build/jupyterlab-test.log", pytrace=False)


@pytest.fixture
def complaints() -> list[str]:
    """What went wrong in the browser so far."""
    return []


@pytest.fixture
def page(browser: Browser, server: str, complaints: list[str]) -> Iterator[Page]:
    """The course, as it opens; it may ask this machine only."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    expect.set_options(timeout=PATIENCE * 1000)
    page = context.new_page()
    page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: _watch(request.url, complaints))
    page.goto(server)
    yield page
    context.close()


def _watch(url: str, complaints: list[str]) -> None:
    if not url.startswith(("http://localhost:", "data:", "blob:")):
        complaints.append(f"outside request: {url}")
