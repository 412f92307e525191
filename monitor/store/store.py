"""The monitor's memory, opened once per process."""

from monitor.store.baselines import Baselines
from monitor.store.engine import connect
from monitor.store.history import History
from monitor.store.outbox import Outbox


class Store:
    """One database; raises StoreError if it cannot be used. Open it once, and close it."""

    def __init__(self, url: str) -> None:
        self._engine = connect(url)
        self.history = History(self._engine)
        self.outbox = Outbox(self._engine)
        self.baselines = Baselines(self._engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()
