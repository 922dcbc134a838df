"""The shop's tables, and what it tells of packages beside their rows."""
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import declarative_base

Base = declarative_base()
engine = sa.create_engine("postgresql+psycopg2://")    # PGHOST, PGDATABASE, ...


class Package(Base):
    __tablename__ = "package"
    id = sa.Column(sa.Integer, primary_key=True)
    number = sa.Column(sa.Text, nullable=False)
    state = sa.Column(sa.Text, nullable=False, server_default="packed")


def deliver_event(session, event_type, data, object_id):
    """An event that no single row says, in the transaction of the session.  Returns its id."""
    return session.execute(sa.select(sa.func.whisperer.deliver_event(
        event_type, sa.cast(data, JSON), None, str(object_id)))).scalar()


def ship(session, package):
    """Both or neither: the new state, and the event that tells of it."""
    package.state = "shipped"
    session.flush()
    return deliver_event(session, "package-shipped", {"id": package.id, "number": package.number}, package.id)
