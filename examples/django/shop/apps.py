"""The app of the shop."""
from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"

    def ready(self):
        from . import events    # noqa: F401  It registers them.
