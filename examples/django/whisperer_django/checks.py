"""Whether models wish what they can have, and whether the database has what they wish.

    python3 manage.py check --database default --fail-level WARNING

What the database lacks is a warning, not an error: `migrate` checks first, and could otherwise never mend it.
"""
from django.apps import apps
from django.core.checks import Error, Warning
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor

from .triggers import capture_triggers
from .wishes import WISHES


def check_wishes(app_configs=None, **_):
    found = []
    for model, specs in WISHES.items():
        for spec in specs:
            unknown = spec.unknown_fields(field.name for field in model._meta.concrete_fields)
            if unknown:
                found.append(Error(f"@captured('{spec.event}') names no field of the model: {', '.join(unknown)}",
                                   obj=model, id="whisperer.E001"))
    return found


def check_triggers(app_configs=None, databases=None, **_):
    found = []
    for alias in databases or []:
        connection = connections[alias]
        if connection.vendor == "postgresql" and is_migrated(connection):
            found += compare(connection)
    return found


def is_migrated(connection):
    """Before that the models are ahead of the database anyway."""
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def compare(connection):
    models = [model for model in apps.get_models()
              if model._meta.managed and not model._meta.proxy and router.allow_migrate_model(connection.alias, model)]
    there = {(trigger.table, trigger.name): trigger
             for trigger in capture_triggers(connection, [model._meta.db_table for model in models])}
    types = event_types(connection) if there or any(model in WISHES for model in models) else set()
    if types is None:
        return [Warning("The database lacks the extension whisperer, or this role may not use it.", id="whisperer.W001",
                        hint="As a superuser: CREATE EXTENSION whisperer; GRANT USAGE ON SCHEMA whisperer TO <role>")]
    found = []
    for model in models:
        for spec in WISHES.get(model, []):
            found += differences(model, spec, there.pop((model._meta.db_table, spec.trigger), None), connection)
            if spec.event not in types:
                found.append(Warning(f"Nobody has registered the event type {spec.event}.", obj=model, id="whisperer.W005",
                                     hint=f"Add to a migration: RegisterEvent('{spec.event}')"))
    by_table = {model._meta.db_table: model for model in models}
    for trigger in there.values():
        found.append(Warning(f"The trigger {trigger.name} captures {trigger.event}, which the model does not wish.",
                             obj=by_table[trigger.table], id="whisperer.W004", hint="Undo its Capture, or add @captured."))
    return found


def event_types(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'whisperer'"
                       " AND has_schema_privilege(oid, 'USAGE'))")
        if not cursor.fetchone()[0]:
            return None
        cursor.execute("SELECT name FROM whisperer.event_type")
        return {name for name, in cursor.fetchall()}


def differences(model, spec, trigger, connection):
    def warning(text, number, hint):
        return [Warning(f"{spec.event}: {text}", obj=model, id=f"whisperer.{number}", hint=hint)]

    if trigger is None:
        return warning("there is no capture trigger for it.", "W002",
                       f"Add to a migration: Capture('{model._meta.model_name}', '{spec.event}', ...)")
    try:
        wished = set(spec.arguments(model, connection))
    except FieldDoesNotExist:
        return []    # E001 says so.
    actual = {trigger.event, *trigger.options}
    texts = [f"it lacks {one}" for one in sorted(wished - actual)] + [f"it has {one}" for one in sorted(actual - wished)]
    if set(spec.on) != trigger.on:
        texts.append(f"it is for {' or '.join(sorted(trigger.on))}, not for {' or '.join(sorted(spec.on))}")
    if bool(spec.condition) != trigger.has_condition:
        texts.append("it lacks a condition" if spec.condition else "it has a condition")
    if not trigger.is_enabled:
        texts.append("it is disabled")
    return warning(f"the trigger is not as wished: {'; '.join(texts)}.", "W003",
                   "Add to a migration: Undo(Capture(...)) as it was, and Capture(...) as it shall be.") if texts else []
