"""axe-core, the accessibility checker, over the console's pages in a real browser: fetched once from npm into
the user's cache, never a part of the package. Pages of `checked` write its findings into themselves.
"""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

VERSION = "4.11.0"
SHA256 = "e9e5863c33a874f09bc01acd9234b7e3c871479f5eef8802fa582544465e6d01"
CACHE = Path.home() / ".cache" / "ratchet-tests"
CHECK = """
addEventListener("load", async () => {
  const found = { serious: [], wide: 0 };
  const root = document.documentElement;
  for (const scheme of ["light", "dark"]) {
    root.style.colorScheme = scheme;
    for (const one of (await axe.run()).violations)
      if (["serious", "critical"].includes(one.impact))
        found.serious.push(scheme + " " + one.id + " " + one.nodes[0].html.slice(0, 150));
  }
  root.style.width = "390px";
  found.wide = document.body.scrollWidth;
  const place = document.createElement("pre");
  place.id = "axe";
  place.textContent = JSON.stringify(found);
  document.body.append(place);
});
"""


def fetched() -> str:
    """The checker's source. Skips the test where npm can't fetch it."""
    kept = CACHE / f"axe-{VERSION}.min.js"
    if not kept.exists():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed, which fetches axe-core")
        with tempfile.TemporaryDirectory() as folder:
            command = ["npm", "pack", "--silent", f"axe-core@{VERSION}"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            if done.returncode != 0:
                pytest.skip(f"axe-core can't be fetched: {done.stderr[-200:]}")
            with tarfile.open(Path(folder) / f"axe-core-{VERSION}.tgz") as packed:
                packed.extract("package/axe.min.js", folder, filter="data")
            CACHE.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder) / "package" / "axe.min.js", kept)
    source = kept.read_bytes()
    assert hashlib.sha256(source).hexdigest() == SHA256, f"{kept} is not axe-core {VERSION}: delete it"
    return source.decode()


def checked(app: FastAPI) -> FastAPI:
    """The app, each of whose pages checks itself: its policy allows scripts of its own address alone."""
    source = fetched()
    added = b'<script src="/axe.js"></script><script src="/check.js"></script></body>'

    @app.get("/axe.js")
    def axe() -> Response:
        return Response(source, media_type="text/javascript")

    @app.get("/check.js")
    def check() -> Response:
        return Response(CHECK, media_type="text/javascript")

    @app.middleware("http")
    async def add(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call_next(request)
        if not answer.headers.get("content-type", "").startswith("text/html"):
            return answer
        body = b"".join([part async for part in answer.body_iterator])  # type: ignore[attr-defined]
        headers = {name: text for name, text in answer.headers.items() if name != "content-length"}
        return HTMLResponse(body.replace(b"</body>", added), answer.status_code, headers)

    return app
