"""When a value was accepted, instead of whether: nothing could be accepted before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Replace the column; older SQLite cannot drop one, so the table is made anew there."""
    with op.batch_alter_table("fact_change") as table:
        table.drop_column("accepted")
        table.add_column(sa.Column("accepted_at", sa.Float(), nullable=True))
    op.create_index("fact_change_accepted", "fact_change", ["scope", "accepted_at"], unique=False)
