"""Another maker's browser trains to the same bytes, from file://, through the course's own scripts.

Debian's Firefox understands no Playwright, so the page itself reports: it asks a server on this
machine for a picture whose name is the fingerprint.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

import pytest

from minitrain.kernel import binding
from minitrain.labs.lab import Lab
from minitrain.runs import engines
from minitrain.training.config import flat, patched

SECONDS = 300
CONFIG = patched(
    Lab("18-the-run-that-remembers").config("control"),
    {"steps": 40, "eval_interval": 20, "schedule.warmup_steps": 10, "model.dropout": 0.1},
)
PAGE = """<!doctype html>
<meta charset="utf-8">
<script src="{scripts}/dom.js"></script>
<script src="{scripts}/runs.js"></script>
<script>
  const report = (text) => {{ new Image().src = "{server}/" + encodeURIComponent(text); }};
  onerror = (message) => report("error: " + message);
  course.runs.train({{ config: {config}, encoded: {encoded}, code: "" }}, (news) => {{
    if (news.state === "finished") report(news.result.fingerprint);
    if (news.state === "refused") report(`${{news.reason}}: ${{news.detail}}`);
  }});
</script>
"""


@pytest.fixture
def reports() -> Iterator[tuple[str, Queue[str]]]:
    """A server's address, and what was asked of it."""
    asked: Queue[str] = Queue()

    class Notes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.put(self.path.removeprefix("/"))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: pytest shows what matters."""

    with ThreadingHTTPServer(("localhost", 0), Notes) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://localhost:{http.server_port}", asked
        http.shutdown()


def test_firefox_ends_at_the_same_fingerprint(
    site: Path, reports: tuple[str, Queue[str]], tmp_path: Path
) -> None:
    firefox = shutil.which("firefox-esr") or shutil.which("firefox")
    if firefox is None:
        pytest.skip("needs Firefox: the Debian package firefox-esr")
    server, asked = reports
    page = tmp_path / "page.html"
    page.write_text(
        PAGE.format(
            scripts=(site / "_static").as_uri(),
            server=server,
            config=json.dumps(flat(CONFIG)),
            encoded=json.dumps([float(leaf) for leaf in binding.leaves(CONFIG)]),
        ),
        encoding="utf-8",
    )
    engine = engines.pytorch()
    expected = engine.train(engine.start(CONFIG)).fingerprint()
    command = [firefox, "--headless", "--no-remote", "--profile", str(tmp_path / "profile")]
    (tmp_path / "profile").mkdir()
    with subprocess.Popen([*command, page.as_uri()], stderr=subprocess.DEVNULL) as browser:
        try:
            found = asked.get(timeout=SECONDS)
        except Empty:
            found = "nothing"
        finally:
            browser.terminate()
    assert found == expected
