"""What models wish to be told of.  checks.py compares it with the triggers of the database.

    @captured("package-created", columns=["id", "order_number"])
    class Package(models.Model):
        ...
"""
from .capture import CaptureSpec

WISHES = {}


def captured(event, columns=(), on="insert", **options):
    """A class decorator; its arguments are those of the operation Capture."""
    spec = CaptureSpec(event, columns, on, **options)

    def note(model):
        WISHES.setdefault(model, []).append(spec)
        return model
    return note
