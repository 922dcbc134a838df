"""Operations for Alembic's migrations: event types and capture triggers.  Copy this file, and import it in env.py.

    op.register_event("package-created")
    op.capture("package", "package-created", columns=["id", "number"])

    op.drop_capture("package", "package-created")
    op.unregister_event("package-created")

include_name is for autogenerate: with include_schemas it would propose to drop the extension's tables.
"""
from alembic.operations import MigrateOperation, Operations
from sqlalchemy.dialects import postgresql

quote = postgresql.dialect().identifier_preparer.quote


def include_name(name, kind, parent_names):
    return not (kind == "schema" and name in ("whisperer", "whisperer_internal"))


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def operation(name):
    """Registers a class as op.<name>(...), whose statements() are executed."""
    def register(cls):
        Operations.register_operation(name)(cls)
        Operations.implementation_for(cls)(lambda operations, one: [operations.execute(sql) for sql in one.statements()])
        return cls
    return register


class Statement(MigrateOperation):
    def __init__(self, *arguments, **options):
        self.arguments, self.options = arguments, options

    @classmethod
    def run(cls, operations, *arguments, **options):
        return operations.invoke(cls(*arguments, **options))

    def statements(self):
        return [self.sql(*self.arguments, **self.options).replace(":", r"\:")]    # A colon begins a parameter of text().


def of(name, sql):
    """An operation that is one statement."""
    cls = type(name, (Statement,), {"sql": staticmethod(sql), name: Statement.__dict__["run"]})
    return operation(name)(cls)


def capture(table, event, on="insert", columns=(), changed=(), key=(), serializer=None, condition=None):
    """PostgreSQL checks event type, columns and serializer when the trigger is made."""
    lists = {"columns": columns, "changed": changed, "key": key}
    arguments = [event] + [f"{name}={','.join(map(quote, one))}" for name, one in lists.items() if one]
    arguments += [f"serializer={serializer}"] if serializer else []
    when = f" WHEN ({condition})" if condition else ""
    return (f"CREATE TRIGGER {quote(event[:63])} AFTER {on} ON {quote(table)} FOR EACH ROW{when}"
            f" EXECUTE FUNCTION whisperer.capture({', '.join(map(literal, arguments))})")


of("register_event", lambda event: f"SELECT whisperer.register_event({literal(event)})")
of("unregister_event", lambda event: f"SELECT whisperer.unregister_event({literal(event)})")
of("capture", capture)
of("drop_capture", lambda table, event: f"DROP TRIGGER {quote(event[:63])} ON {quote(table)}")
