"""What the shop records.  Nothing is sent from a test database, so a test looks at what is recorded."""
import json

from django.db import transaction
from django.test import TestCase, TransactionTestCase

from shop.events import ship
from shop.models import Carrier, Package
from whisperer_django.events import deliver_event
from whisperer_django.models import Hook
from whisperer_django.testing import RecordsEvents


class PackageEvents(RecordsEvents, TestCase):
    fixtures = ["carriers"]

    def test_a_package_is_told_of_without_what_is_nobodys_business(self):
        with self.assertRecords("package-created") as events:
            package = Package.objects.create(number="A-2", carrier_id=1)
        self.assertEqual(events[0].data, {"id": package.pk, "number": "A-2", "carrier_id": 1})
        self.assertEqual(events[0].object_id, str(package.pk))

    def test_bulk_statements_are_told_of_row_by_row(self):
        with self.assertRecords("package-created", 3):
            Package.objects.bulk_create(Package(number=f"B-{n}") for n in range(3))
        with self.assertRecords("package-changed", 3):
            Package.objects.filter(number__startswith="B-").update(state="lost")

    def test_an_update_of_something_else_is_not(self):
        with self.assertRecords("package-changed", 0):
            Package.objects.update(carrier=None)

    def test_the_serializer_looks_up_the_carrier(self):
        with self.assertRecords("package-changed") as events:
            Package.objects.filter(pk=1).update(state="lost")
        self.assertEqual(events[0].data, {"id": 1, "number": "A-1", "state": "lost", "carrier": "Snail"})

    def test_ship(self):
        package = Package.objects.get(pk=1)
        with self.assertRecords("package-changed"), self.assertRecords("package-shipped") as events:
            recorded = ship(package)
        self.assertEqual(events[0].pk, recorded)
        self.assertEqual(events[0].data, {"id": 1, "number": "A-1", "carrier": "Snail"})

    def test_ship_goes_with_its_transaction(self):
        package = Package.objects.get(pk=1)
        with self.assertRecords("package-shipped", 0), self.assertRaises(ZeroDivisionError), transaction.atomic():
            ship(package)
            1 / 0

    def test_an_event_needs_its_class(self):
        with self.assertRaisesMessage(LookupError, "no event is registered for 'package-lost'"):
            deliver_event(Package.objects.get(pk=1), "package-lost")

    def test_what_would_be_sent(self):
        hook = Hook(event_type="package-created", target_url="https://partner.example/hooks", description="partner")
        hook.create()
        self.assertEqual(Hook.objects.get(pk=hook.pk).description, "partner")
        with self.assertRecords("package-created") as events:
            Package.objects.create(number="A-3", carrier=Carrier.objects.get())
        (url, body), = self.requests(events[0])
        self.assertEqual(url, "https://partner.example/hooks")
        self.assertEqual(json.loads(body)["data"]["number"], "A-3")


class Committed(RecordsEvents, TransactionTestCase):
    """Django truncates its own tables behind such a test; the events stay, so assertRecords counts the new ones."""

    fixtures = ["carriers"]

    def test_a_rollback_leaves_nothing(self):
        with self.assertRecords("package-created", 0), self.assertRaises(ZeroDivisionError), transaction.atomic():
            Package.objects.create(number="never")
            1 / 0

    def test_a_commit_is_recorded(self):
        with self.assertRecords("package-created"):
            Package.objects.create(number="A-4")
