"""Carriers and packages, and which changes of packages partners are told of."""
from django.db import models

from whisperer_django.wishes import captured


class Carrier(models.Model):
    name = models.CharField(max_length=80)
    api_key = models.CharField(max_length=80, blank=True, help_text="no partner may see it")

    def __str__(self):
        return self.name


@captured("package-created", columns=["id", "number", "carrier"])
@captured("package-changed", on="update", changed=["state"], serializer="package_payload")
class Package(models.Model):
    number = models.CharField(max_length=40)
    state = models.CharField(max_length=20, default="packed")
    carrier = models.ForeignKey(Carrier, models.PROTECT, null=True)

    def __str__(self):
        return self.number
