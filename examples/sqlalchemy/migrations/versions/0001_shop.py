"""The table, and what is told of it."""
import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "package",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="packed"))
    op.register_event("package-created")
    op.capture("package", "package-created", columns=["id", "number"])
    op.register_event("package-changed")
    op.capture("package", "package-changed", on="update", changed=["state"], condition="new.state::text <> 'lost'")
    op.register_event("package-shipped")


def downgrade():
    op.unregister_event("package-shipped")
    op.drop_capture("package", "package-changed")
    op.unregister_event("package-changed")
    op.drop_capture("package", "package-created")
    op.unregister_event("package-created")
    op.drop_table("package")
