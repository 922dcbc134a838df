"""What an application with SQLAlchemy and Alembic does with a watched table.  Prints a line for each check."""
import os
import sys

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.orm import Session, declarative_base

bad = 0
Base = declarative_base()
engine = sa.create_engine('postgresql+psycopg2://')


def equal(what, got, want):
    global bad
    print(f'ok - SQLAlchemy: {what}' if got == want else f'not ok - SQLAlchemy: {what}\n#   got {got}, want {want}')
    bad |= got != want


class Box(Base):
    __tablename__ = 'box'
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)


def count(event_type):
    with engine.connect() as connection:
        return connection.execute(sa.text('SELECT count(*) FROM whisperer.outbox WHERE event_type = :t'), {'t': event_type}).scalar()


with engine.begin() as connection:
    op = Operations(MigrationContext.configure(connection))
    op.create_table('box', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.Text))
    op.execute("SELECT whisperer.watch('box')")
    connection.execute(sa.text("SELECT whisperer.create_hook('box-created', :url)"), {'url': os.environ['WHISPERER_URL'] + '/ok/sqlalchemy'})
with engine.connect() as connection:
    metadata = sa.MetaData()
    for table in Base.metadata.tables.values():
        table.to_metadata(metadata)
    context = MigrationContext.configure(connection, opts={'include_object': lambda obj, name, kind, *_: name not in ('item', 'parcel')})
    equal('Alembic finds nothing to change', compare_metadata(context, metadata), [])
    schemas = MigrationContext.configure(connection, opts={
        'include_schemas': True, 'include_name': lambda name, kind, parents: kind != 'schema' or name in (None, 'whisperer'),
        'include_object': lambda obj, name, kind, *_: name not in ('item', 'parcel')})
    found = compare_metadata(schemas, metadata)
    equal('with include_schemas it wants to drop tables of whisperer', any(one[0] == 'remove_table' for one in found), True)

with Session(engine) as session:
    session.add(Box(id=1, name='one'))
    session.flush()
    session.rollback()
equal('a session that is rolled back records nothing', count('box-created'), 0)
with Session(engine) as session:
    session.add(Box(id=1, name='one'))
    session.commit()
    session.execute(sa.update(Box).values(name='first'))
    session.commit()
    session.execute(sa.select(sa.func.whisperer.deliver_event('box-created', sa.cast({'id': 2}, sa.JSON))))
    session.commit()
equal('a session and deliver_event are recorded', count('box-created'), 2)
equal('an update is captured', count('box-updated'), 1)
sys.exit(bad)
