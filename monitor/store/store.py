"""The monitor's memory, opened once per process."""

from pathlib import Path
from typing import IO

from monitor.store.baselines import Baselines
from monitor.store.engine import claim, connect, shown
from monitor.store.history import History
from monitor.store.outbox import Outbox


class Store:
    """One database; raises StoreError if it cannot be used. Open it once, and close it."""

    def __init__(self, url: str) -> None:
        self._engine = connect(url)
        self.history = History(self._engine)
        self.outbox = Outbox(self._engine)
        self.baselines = Baselines(self._engine)
        self._claim: IO[str] | None = None

    @property
    def where(self) -> str:
        """The database's file, or its URL without the password."""
        url = self._engine.url
        return (url.database or "") if url.get_backend_name() == "sqlite" else shown(self._engine)

    def claim(self) -> None:
        """Take the store for a serving monitor; raises StoreError if another one serves on it.

        The claim ends with the process, however it ends.
        """
        if self._engine.dialect.name == "sqlite" and self._engine.url.database:
            self._claim = claim(Path(f"{self._engine.url.database}.serve"))

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()
        if self._claim is not None:
            self._claim.close()
