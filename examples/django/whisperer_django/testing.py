"""For tests: what they record, and that none of it is ever sent.

The runner refuses to begin in a database that would deliver.  A template database with the extension, paused, is
what test databases are made of: see README.md.
"""
from contextlib import contextmanager

from django.db import connections
from django.test.runner import DiscoverRunner

from .models import Event


class QuietRunner(DiscoverRunner):
    def setup_databases(self, **kwargs):
        config = super().setup_databases(**kwargs)
        try:
            for name, connection in all_databases(config, self.parallel):
                refuse_delivery(name, connection)
        except BaseException:
            self.teardown_databases(config)
            raise
        return config


def all_databases(config, parallel):
    """Those of the tests, and the clones that they run in side by side."""
    for connection, _, destroy in config:
        if not destroy or connection.vendor != "postgresql":
            continue
        yield connection.settings_dict["NAME"], connection
        for number in range(1, parallel + 1) if parallel > 1 else ():
            settings = connection.creation.get_test_db_clone_settings(str(number))
            clone = type(connection)(settings, alias=connection.alias)
            try:
                yield settings["NAME"], clone
            finally:
                clone.close()


def refuse_delivery(name, connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT bool_and(reason = 'paused by whisperer.pause()') FROM whisperer.status")
        if not cursor.fetchone()[0]:
            raise SystemExit(f"The test database {name} would send webhooks. Make its template with SELECT whisperer.pause().")


class RecordsEvents:
    """A mixin for test cases."""

    @contextmanager
    def assertRecords(self, event_type, count=1):
        """Within it, so many events of a type are recorded.  Gives a list that has them at the end."""
        events = Event.objects.filter(event_type=event_type)
        before = set(events.values_list("pk", flat=True))
        recorded = []
        yield recorded
        recorded += events.exclude(pk__in=before).order_by("pk")
        self.assertEqual(len(recorded), count, f"events of type {event_type}")

    def requests(self, event):
        """What would be sent for it, as (target_url, body): one for each hook that it is for."""
        with connections[event._state.db].cursor() as cursor:
            cursor.execute("SELECT target_url, body FROM whisperer.preview(%s) ORDER BY hook_id", [event.pk])
            return cursor.fetchall()
