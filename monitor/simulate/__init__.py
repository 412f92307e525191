"""A vLLM-shaped HTTP server without a model: for the demo, for drills and for tests."""

from monitor.simulate.app import create_app
from monitor.simulate.engine import Engine
from monitor.simulate.knobs import KnobError, Knobs

__all__ = ["Engine", "KnobError", "Knobs", "create_app"]
