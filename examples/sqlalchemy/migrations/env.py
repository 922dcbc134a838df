"""Alembic's environment: the models, and what autogenerate leaves alone."""
import sys
from pathlib import Path

from alembic import context

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import whisperer_alembic  # noqa: E402
from models import Base, engine  # noqa: E402

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, include_schemas=True,
                      include_name=whisperer_alembic.include_name)
    with context.begin_transaction():
        context.run_migrations()
