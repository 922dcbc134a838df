"""whisperer for Django: copy this folder into your project and name it in INSTALLED_APPS.

operations.py   what migrations do: RegisterEvent, Capture, Serializer, and Undo of each
wishes.py       what models wish to be told of: @captured
checks.py       whether the database has the triggers that the models wish
renames.py      triggers and serializers follow RenameField
events.py       deliver_event() and its registry, for events that are no row of one table
models.py, admin.py     the extension's views, to look at and to act on
testing.py      what tests record, and a runner that refuses a database that would deliver
"""
