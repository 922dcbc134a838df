"""Operations for migrations: event types, capture triggers and serializers.

Each can be reversed.  To change one, undo it as it was and make it anew:

    operations = [
        Undo(Capture("package", "package-created", columns=["id"])),
        Capture("package", "package-created", columns=["id", "order_number"]),
    ]

A field that the model does not have is refused when the migrations are loaded, before anything touches the database.
"""
from django.core.exceptions import FieldDoesNotExist
from django.db import router
from django.db.migrations.operations.base import Operation

from .capture import CaptureSpec, column_of, function_name


class WhispererOperation(Operation):
    """Makes and drops something of the database that Django's state knows nothing of."""

    reduces_to_sql = True
    reversible = True
    model_name = None

    def state_forwards(self, app_label, state):
        if self.model_name:
            unknown = self.unknown_fields(state.models[app_label, self.model_name.lower()].fields)
            if unknown:
                raise FieldDoesNotExist(f"{self.describe()}: {app_label}.{self.model_name} has no field {', '.join(unknown)}")

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self.run(self.make, app_label, schema_editor, to_state)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.run(self.unmake, app_label, schema_editor, from_state)

    def run(self, statement, app_label, schema_editor, state):
        if schema_editor.connection.vendor != "postgresql" or not router.allow_migrate(
                schema_editor.connection.alias, app_label, model_name=self.model_name and self.model_name.lower()):
            return
        model = state.apps.get_model(app_label, self.model_name) if self.model_name else None
        # Without parameters, so that a % is one.
        schema_editor.execute(statement(model, schema_editor), params=None)

    def unknown_fields(self, names):
        return []


class RegisterEvent(WhispererOperation):
    """An event type, owned by the role that migrates."""

    def __init__(self, event, description=None):
        self.event, self.description = event, description

    def make(self, model, schema_editor):
        description = "NULL" if self.description is None else schema_editor.quote_value(self.description)
        return f"SELECT whisperer.register_event({schema_editor.quote_value(self.event)}, {description})"

    def unmake(self, model, schema_editor):
        return f"SELECT whisperer.unregister_event({schema_editor.quote_value(self.event)})"

    def describe(self):
        return f"Register event type {self.event}"


class Capture(WhispererOperation):
    """A trigger that records an event for each row of a model; its arguments are those of CaptureSpec."""

    def __init__(self, model_name, event, columns=(), on="insert", changed=(), key=(), serializer=None, include_old=False,
                 condition=None):
        self.model_name = model_name
        self.spec = CaptureSpec(event, columns, on, changed, key, serializer, include_old, condition)

    def unknown_fields(self, names):
        return self.spec.unknown_fields(names)

    def make(self, model, schema_editor):
        return self.spec.create(model, schema_editor)

    def unmake(self, model, schema_editor):
        return self.spec.drop(model, schema_editor)

    def describe(self):
        return f"Capture {self.spec.event} on {self.model_name}"


class Serializer(WhispererOperation):
    """A function that makes an event's data from a row of a model.

    values: what the data has, by name: the name of a field, or SQL where ($1)."column" is a column of the row.  Written so,
    it follows RenameField.  It runs for every row that is written, so let it look up little.
    """

    def __init__(self, name, model_name, values):
        self.name, self.model_name, self.values = name, model_name, values

    def unknown_fields(self, names):
        return sorted({value for value in self.values.values() if value.isidentifier()} - set(names))

    def make(self, model, schema_editor):
        quote = schema_editor.connection.ops.quote_name
        pairs = ", ".join(f"{schema_editor.quote_value(key)}, " + (
            f"($1).{quote(column_of(model, value, self.name))}" if value.isidentifier() else f"({value})")
            for key, value in self.values.items())
        # The body is a string: in standard SQL it would hold the table, and PostgreSQL would then refuse to add a column
        # with a default.
        body = schema_editor.quote_value(f"SELECT json_build_object({pairs})")
        return f"CREATE FUNCTION {self.signature(model, schema_editor)} RETURNS json LANGUAGE sql STABLE AS {body}"

    def unmake(self, model, schema_editor):
        return f"DROP FUNCTION {self.signature(model, schema_editor)}"

    def signature(self, model, schema_editor):
        connection = schema_editor.connection
        return f"{function_name(connection, self.name)}({connection.ops.quote_name(model._meta.db_table)})"

    def describe(self):
        return f"Serializer {self.name} of {self.model_name}"


class Undo(WhispererOperation):
    """The reverse of one of the above, written as it was made."""

    serialization_expand_args = ["operation"]

    def __init__(self, operation):
        self.operation, self.model_name = operation, operation.model_name

    def unknown_fields(self, names):
        return self.operation.unknown_fields(names)

    def make(self, model, schema_editor):
        return self.operation.unmake(model, schema_editor)

    def unmake(self, model, schema_editor):
        return self.operation.make(model, schema_editor)

    def describe(self):
        return f"Undo: {self.operation.describe()}"
