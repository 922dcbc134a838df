"""deliver_event(): an event that is no row of one table, serialized in Python.

    class PackageShippedEvent(WhispererEvent):
        serializer_class = PackageSerializer
        event_type = "package-shipped"

    registry.register(PackageShippedEvent)

    with transaction.atomic():
        package.save()
        deliver_event(package, "package-shipped")

The event is a row of the same transaction.  There is no on_commit: what is rolled back was never recorded, and what is
committed is delivered although this process ends the moment after.
"""
import json

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connections


class WhispererEvent:
    """serializer_class(instance).data is what is sent, as with Django REST framework."""

    serializer_class = None
    event_type = None

    def serialize(self, instance):
        return self.serializer_class(instance).data


class Registry:
    def __init__(self):
        self.events = {}

    def register(self, event_class):
        self.events[event_class.event_type] = event_class()
        return event_class


registry = Registry()


def deliver_event(instance, event_type, config_filter=None, using=None):
    """Records an event about instance, and returns its id.  Its key is the instance's primary key."""
    if event_type not in registry.events:
        raise LookupError(f"no event is registered for '{event_type}': registry.register(...)")
    data = registry.events[event_type].serialize(instance)
    with connections[using or instance._state.db or DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(
            "SELECT whisperer.deliver_event(%s, %s::json, %s::jsonb, object_id => %s)",
            [event_type, json.dumps(data, cls=DjangoJSONEncoder, separators=(",", ":")),
             None if config_filter is None else json.dumps(config_filter), str(instance.pk)])
        return cursor.fetchone()[0]
