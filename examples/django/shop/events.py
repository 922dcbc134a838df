"""Events that no single row says: they are serialized here, and recorded with deliver_event()."""
from django.db import transaction

from whisperer_django.events import WhispererEvent, deliver_event, registry


class PackageSerializer:
    """With Django REST framework this is one of its serializers."""

    def __init__(self, package):
        self.data = {"id": package.pk, "number": package.number, "carrier": package.carrier and package.carrier.name}


@registry.register
class PackageShippedEvent(WhispererEvent):
    serializer_class = PackageSerializer
    event_type = "package-shipped"


def ship(package):
    """Both or neither: the new state, and the events that tell of it."""
    with transaction.atomic():
        package.state = "shipped"
        package.save()
        return deliver_event(package, "package-shipped")
