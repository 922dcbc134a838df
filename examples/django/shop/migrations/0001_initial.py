"""The tables, as makemigrations wrote it."""
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel("Carrier", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("name", models.CharField(max_length=80)),
            ("api_key", models.CharField(blank=True, help_text="no partner may see it", max_length=80)),
        ]),
        migrations.CreateModel("Package", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("order_number", models.CharField(max_length=40)),
            ("state", models.CharField(default="packed", max_length=20)),
            ("carrier", models.ForeignKey("shop.Carrier", models.PROTECT, null=True)),
        ]),
    ]
