"""What a Django application does with a watched table.  Prints a line for each check."""
import os
import sys

import django
from django.conf import settings

settings.configure(
    DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['PGDATABASE'], 'USER': os.environ['PGUSER'],
                           'HOST': os.environ['PGHOST'], 'PORT': os.environ['PGPORT']}},
    INSTALLED_APPS=[], DEFAULT_AUTO_FIELD='django.db.models.BigAutoField', USE_TZ=True)
django.setup()
from django.db import connection, migrations, models, transaction  # noqa: E402
from django.db.migrations.state import ProjectState  # noqa: E402

bad = 0


def equal(what, got, want):
    global bad
    print(f'ok - Django: {what}' if got == want else f'not ok - Django: {what}\n#   got {got}, want {want}')
    bad |= got != want


class Parcel(models.Model):
    name = models.TextField()

    class Meta:
        app_label = 'shop'
        db_table = 'parcel'


def count(event_type):
    with connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM whisperer.outbox WHERE event_type = %s', [event_type])
        return cursor.fetchone()[0]


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel('Parcel', [('id', models.BigAutoField(primary_key=True)), ('name', models.TextField())],
                               options={'db_table': 'parcel'}),
        migrations.RunSQL("SELECT whisperer.watch('parcel')", "SELECT whisperer.unwatch('parcel')"),
    ]


with connection.schema_editor() as editor:
    Migration('0001', 'shop').apply(ProjectState(), editor)
with connection.cursor() as cursor:
    cursor.execute("SELECT whisperer.create_hook('parcel-created', %s)", [os.environ['WHISPERER_URL'] + '/ok/django'])

parcel = Parcel.objects.create(name='one')
equal('save() is captured', count('parcel-created'), 1)
try:
    with transaction.atomic():
        Parcel.objects.create(name='never')
        raise ValueError
except ValueError:
    pass
equal('an atomic block that fails records nothing', count('parcel-created'), 1)
Parcel.objects.bulk_create([Parcel(name='two')])
equal('bulk_create() is captured', count('parcel-created'), 2)
Parcel.objects.filter(name='two').update(name='second')
equal('QuerySet.update() is captured', count('parcel-updated'), 1)
parcel.delete()
equal('delete() is captured', count('parcel-deleted'), 1)
sys.exit(bad)
