"""What tests of the vLLM collector share: its captures as pages, and a server that answers with one."""

import re
from pathlib import Path

import httpx

from monitor.collect.exposition import parse
from monitor.collect.vllm.figures import WANTED
from monitor.collect.vllm.look import Page
from monitor.model import Reading

CAPTURES = Path(__file__).parent / "captures" / "vllm"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.txt"))
SILENT = "v0.32.0-live-nolog"
"""The capture of a server without vLLM's metrics."""
LIVE = (CAPTURES / "v0.32.0-live.txt").read_text()
VERSION = httpx.Response(200, json={"version": "0.32.0"})


def text_of(name: str) -> str:
    """Read a capture."""
    return (CAPTURES / f"{name}.txt").read_text()


def page_of(name: str) -> Page:
    """Read a capture as the look does where the server cannot filter."""
    return page(text_of(name))


def page(text: str) -> Page:
    """Read an exposition whole."""
    return Page(parse(text, WANTED), text)


def version_of(name: str) -> str:
    """Give the version that a capture is named after."""
    match = re.match(r"v(\d+\.\d+\.\d+)", name)
    assert match
    return match[1]


def by_name(readings: tuple[Reading, ...]) -> dict[tuple[str, str], float]:
    """Index readings by metric and engine."""
    return {(reading.metric, dict(reading.labels).get("engine", "")): reading.value for reading in readings}


class Server:
    """A vLLM that filters like its mounted app, or like a multi-process one: nothing is left. It keeps what it got."""

    def __init__(self, exposition: str, *, filters: bool = True, **answers: httpx.Response) -> None:
        self.exposition = exposition
        self.filters = filters
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request; paths are named with _ for / in `answers`."""
        path = request.url.path.removesuffix("/") if request.url.path != "/metrics/" else request.url.path
        self.asked.append(path)
        if path == "/metrics/":
            wanted = set(request.url.params.get_list("name[]"))
            lines = [line for line in self.exposition.splitlines() if re.split(r"[{ ]", line)[0] in wanted]
            return httpx.Response(200, text="\n".join(lines) if self.filters else "")
        if path == "/metrics":
            return httpx.Response(200, text=self.exposition)
        return self.answers.get(path.strip("/").replace("/", "_"), httpx.Response(404))

    def client(self) -> httpx.AsyncClient:
        """Make a client of it."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self), base_url="http://vllm:8000")
