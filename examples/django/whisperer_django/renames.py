"""Triggers and serializers follow RenameField.

PostgreSQL refuses to rename a column that a capture trigger names: its arguments are text, which no rename reaches.  So each
RenameField of a migration is replaced, before it runs, by one that takes the name out of the triggers, renames, and puts
the new one in.  Django's own content types follow RenameModel the same way.
"""
from django.db import migrations

from .capture import call
from .triggers import capture_triggers


def follow_renames(sender, plan=(), **_):
    for migration, _ in plan:
        migration.operations = [
            FollowedRename(one.model_name, one.old_name, one.new_name) if type(one) is migrations.RenameField else one
            for one in migration.operations]


class FollowedRename(migrations.RenameField):
    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        self.run(super().database_forwards, app_label, schema_editor, from_state, to_state, self.old_name, self.new_name)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        self.run(super().database_backwards, app_label, schema_editor, from_state, to_state, self.new_name, self.old_name)

    def run(self, rename, app_label, schema_editor, from_state, to_state, old_name, new_name):
        model = from_state.apps.get_model(app_label, self.model_name)
        old = model._meta.get_field(old_name).column
        new = to_state.apps.get_model(app_label, self.model_name)._meta.get_field(new_name).column
        table = model._meta.db_table
        is_ours = schema_editor.connection.vendor == "postgresql" and not schema_editor.collect_sql and old and old != new
        named = [one for one in capture_triggers(schema_editor.connection, [table]) if one.names(old)] if is_ours else []
        for trigger in named:
            replace(schema_editor, trigger.definition, [trigger.event])
        rename(app_label, schema_editor, from_state, to_state)
        if not is_ours:
            return
        quote = schema_editor.connection.ops.quote_name
        options = {trigger.name: trigger.renamed_options(old, new, quote) for trigger in named}
        # Their definitions are read anew, because a WHEN and an UPDATE OF have followed by themselves.
        for trigger in capture_triggers(schema_editor.connection, [table]):
            if trigger.name in options:
                replace(schema_editor, trigger.definition, [trigger.event] + options[trigger.name])
            for serializer in trigger.serializers():
                rename_in_serializer(schema_editor, serializer, table, f"($1).{quote(old)}", f"($1).{quote(new)}")


def replace(schema_editor, definition, arguments):
    head, _, _ = definition.partition("EXECUTE FUNCTION whisperer.capture(")
    schema_editor.execute(
        head.replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
        + f"EXECUTE FUNCTION {call(schema_editor, arguments)}", params=None)


def rename_in_serializer(schema_editor, name, table, old, new):
    """PostgreSQL parses the new body, so what names the column in another way ends the migration here."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_functiondef(to_regprocedure(%s || '(' || quote_ident(%s) || ')'))", [name, table])
        definition = cursor.fetchone()[0]
    if definition:
        schema_editor.execute(definition.replace(old, new), params=None)
