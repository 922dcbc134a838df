"""The extension's views as unmanaged models: to query, and for the admin.

What is changed goes through the extension's functions, which check; each is a method here.
"""
import json

from django.db import connections, models


def call(instance, function, *arguments):
    """SELECT whisperer.function(...) in the database that the instance is of."""
    with connections[instance._state.db or "default"].cursor() as cursor:
        cursor.execute(f"SELECT whisperer.{function}({', '.join(['%s'] * len(arguments))})", arguments)
        return cursor.fetchone()[0]


class JSONColumn(models.JSONField):
    """Of type json, which psycopg2 has parsed already (jsonb it leaves to Django)."""

    def from_db_value(self, value, expression, connection):
        return value


class EventType(models.Model):
    name = models.TextField(primary_key=True)
    description = models.TextField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'whisperer"."event_type'

    def __str__(self):
        return self.name


class Hook(models.Model):
    event_type = models.TextField(help_text="a name, prefix* or *")
    target_url = models.TextField()
    description = models.TextField(null=True, blank=True)
    state = models.TextField()
    state_reason = models.TextField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'whisperer"."hook'

    def __str__(self):
        return f"{self.event_type} to {self.target_url}"

    def create(self):
        self.pk = call(self, "create_hook", self.event_type, self.target_url)
        self.update(description=self.description)

    def update(self, **changes):
        call(self, "update_hook", self.pk, json.dumps(changes))

    def secret(self):
        return call(self, "hook_secret", self.pk)

    def pause(self):
        call(self, "pause_hook", self.pk)

    def resume(self):
        call(self, "resume_hook", self.pk)

    def recover(self, since):
        """Queues again what failed since then, and returns how many."""
        return call(self, "recover", self.pk, since)


class Event(models.Model):
    id = models.UUIDField(primary_key=True)
    event_type = models.TextField()
    object_id = models.TextField(null=True)
    source = models.TextField(null=True, help_text="the table; none: by deliver_event()")
    data = JSONColumn()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'whisperer"."outbox'

    def __str__(self):
        return f"{self.event_type} {self.id.hex}"

    def retry(self):
        """Queues its failed deliveries again, and returns how many."""
        return call(self, "retry", self.pk)

    def why(self, hook_id):
        return call(self, "why", self.pk, hook_id)


class Delivery(models.Model):
    """Its key is event and hook, which Django cannot say: query it, and never save it or compare two."""

    event = models.OneToOneField(Event, models.DO_NOTHING, primary_key=True, related_name="+")
    hook = models.ForeignKey(Hook, models.DO_NOTHING, related_name="deliveries")
    state = models.TextField()
    retry_count = models.IntegerField(help_text="attempts so far")
    response_http_status = models.IntegerField(null=True)
    error = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = 'whisperer"."delivery'
        verbose_name_plural = "deliveries"
