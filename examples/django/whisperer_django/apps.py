"""The app: its checks, and what it does before a migration."""
from django.apps import AppConfig
from django.core.checks import Tags, register
from django.db.models.signals import pre_migrate


class WhispererConfig(AppConfig):
    name = "whisperer_django"
    verbose_name = "Webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from . import checks, renames
        register(checks.check_wishes, Tags.models)
        register(checks.check_triggers, Tags.database)
        pre_migrate.connect(renames.follow_renames, sender=self)
