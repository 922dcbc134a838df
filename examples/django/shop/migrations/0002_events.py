"""What is told of packages."""
from django.db import migrations

from whisperer_django.operations import Capture, RegisterEvent, Serializer


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]

    operations = [
        RegisterEvent("package-created", "A package was packed"),
        Capture("package", "package-created", columns=["id", "order_number", "carrier"]),
        RegisterEvent("package-changed", "A package has another state"),
        Serializer("package_payload", "package", {
            "id": "id",
            "number": "order_number",
            "state": "state",
            "carrier": 'SELECT name FROM shop_carrier WHERE id = ($1)."carrier_id"',
        }),
        Capture("package", "package-changed", on="update", changed=["state"], serializer="package_payload"),
        RegisterEvent("package-shipped", "A package left the house"),
    ]
