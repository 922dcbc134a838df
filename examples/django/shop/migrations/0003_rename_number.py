"""A rename as makemigrations writes it.  The trigger and the serializer that name the column follow."""
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("shop", "0002_events")]

    operations = [migrations.RenameField("package", "order_number", "number")]
