# Python: Django, SQLAlchemy and Alembic, as Debian has them.
# packages: python3-django python3-psycopg2 python3-sqlalchemy alembic
. /src/tests/compatibility/inside.sh
start_server
start_receiver
export WHISPERER_URL=$url
cp "$here/django_app.py" "$here/sqlalchemy_app.py" "$work/"
python3 "$work/django_app.py" 2>&1 || bad=1
idle
is 'Django: delivered' "$(arrived /ok/django)" 2
row Django "$(python3 -c 'import django; print(django.__version__)')" 'a migration with `RunSQL` makes the triggers; `save`, `bulk_create` and `QuerySet.update` are captured, and nothing of an `atomic` block that fails. No `on_commit` is needed'
python3 "$work/sqlalchemy_app.py" 2>&1 || bad=1
idle
is 'SQLAlchemy: delivered' "$(arrived /ok/sqlalchemy)" 2
row SQLAlchemy "$(python3 -c 'import sqlalchemy; print(sqlalchemy.__version__)')" '`Session` and Core are captured; `func.whisperer.deliver_event` joins the session'"'"'s transaction'
row Alembic "$(python3 -c 'import alembic; print(alembic.__version__)')" '`op.execute` makes the triggers; autogenerate leaves them alone. With `include_schemas` it wants to drop the tables of schema `whisperer`: leave that out by `include_name`'
