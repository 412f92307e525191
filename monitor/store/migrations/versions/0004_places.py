"""Where in load each value of a baseline was taken; of older ones that is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns."""
    for name in ("running", "kv_usage"):
        op.add_column("baseline_value", sa.Column(name, sa.Float(), nullable=True))
