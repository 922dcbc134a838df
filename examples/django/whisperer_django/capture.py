"""What a capture trigger is asked for, in the names of a model's fields, and its SQL.

The same class serves the migration that makes a trigger and the model that wishes one, so that both can be compared.
"""
from django.core.exceptions import FieldDoesNotExist

OPERATIONS = ("insert", "update", "delete")


class CaptureSpec:
    """event: its type.  on: what makes one, 'insert', 'update', 'delete' or several.

    columns: what the data has; none: the whole row.  changed: of updates, only those that change one of these.
    key: what the event's object_id is, else the primary key.  serializer: a function that makes the data, see Serializer.
    include_old: an update's data has the row before it, too.  condition: SQL for WHEN, with new and old.
    """

    def __init__(self, event, columns=(), on="insert", changed=(), key=(), serializer=None, include_old=False, condition=None):
        self.event = event
        self.on = (on,) if isinstance(on, str) else tuple(on)
        self.fields = {"columns": tuple(columns), "changed": tuple(changed), "key": tuple(key)}
        self.serializer, self.include_old, self.condition = serializer, include_old, condition
        unknown = set(self.on) - set(OPERATIONS)
        if unknown or not self.on:
            raise ValueError(f"Capture({event}): on is {', '.join(OPERATIONS)}, not {', '.join(sorted(unknown)) or 'nothing'}")

    @property
    def trigger(self):
        """PostgreSQL cuts names off at 63 bytes."""
        return self.event[:63]

    def unknown_fields(self, names):
        return sorted({name for fields in self.fields.values() for name in fields} - set(names))

    def arguments(self, model, connection):
        """Those of whisperer.capture(): the event type and the options, with columns in place of fields."""
        def columns(fields):
            return ",".join(connection.ops.quote_name(column_of(model, field, self.event)) for field in fields)
        found = [self.event]
        found += [f"{option}={columns(fields)}" for option, fields in self.fields.items() if fields]
        if self.include_old:
            found.append("include=old")
        if self.serializer:
            found.append(f"serializer={function_name(connection, self.serializer)}")
        return found

    def create(self, model, schema_editor):
        connection = schema_editor.connection
        when = f" WHEN ({self.condition})" if self.condition else ""
        return (f"CREATE TRIGGER {connection.ops.quote_name(self.trigger)} AFTER {' OR '.join(self.on).upper()}"
                f" ON {connection.ops.quote_name(model._meta.db_table)} FOR EACH ROW{when}"
                f" EXECUTE FUNCTION {call(schema_editor, self.arguments(model, connection))}")

    def drop(self, model, schema_editor):
        quote = schema_editor.connection.ops.quote_name
        return f"DROP TRIGGER {quote(self.trigger)} ON {quote(model._meta.db_table)}"


def call(schema_editor, arguments):
    return f"whisperer.capture({', '.join(schema_editor.quote_value(one) for one in arguments)})"


def column_of(model, field, what):
    try:
        column = model._meta.get_field(field).column
    except (FieldDoesNotExist, AttributeError):
        column = None
    if column is None:
        raise FieldDoesNotExist(f"{what}: {model._meta.label} has no column for '{field}'")
    return column


def function_name(connection, name):
    """With its schema, which a trigger wants: public unless there is another."""
    schema, _, function = name.rpartition(".")
    return f"{connection.ops.quote_name(schema or 'public')}.{connection.ops.quote_name(function)}"
