"""Packages in the admin, beside the hooks and events of whisperer_django."""
from django.contrib import admin

from . import models

admin.site.register(models.Carrier)


@admin.register(models.Package)
class PackageAdmin(admin.ModelAdmin):
    list_display = ("number", "state", "carrier")
