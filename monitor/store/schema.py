"""The schema's version: brought up to date when a store is opened, refused when it is newer than this program."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

_MIGRATIONS = Path(__file__).parent / "migrations"


class StoreError(Exception):
    """The store cannot be used; the text says what, where and what to do."""


def upgrade(connection: Connection) -> None:
    """Bring the schema up to date inside the caller's transaction, so that it happens wholly or not at all.

    Raises:
        StoreError: the database belongs to something else, or to a newer monitor.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(f"its schema {current} is from a newer monitor; upgrade this one, or set another [store] url")
    if current is None and inspect(connection).get_table_names():
        raise StoreError("it is another program's database; set another [store] url")
    command.upgrade(config, "head")
