"""The operations for migrations, on tables of the shop: made, undone, refused, and renamed under."""
from django.core.exceptions import FieldDoesNotExist
from django.core.management import call_command
from django.db import connection, migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.writer import MigrationWriter
from django.test import TestCase, TransactionTestCase

from shop.models import Package
from whisperer_django.operations import Capture, RegisterEvent, Serializer, Undo
from whisperer_django.testing import RecordsEvents
from whisperer_django.triggers import capture_triggers


def triggers():
    return {one.name: one for one in capture_triggers(connection, ["shop_package"])}


class Operations(RecordsEvents, TestCase):
    def setUp(self):
        self.state = MigrationLoader(connection).project_state()

    def run_operation(self, operation, forwards=True):
        operation.state_forwards("shop", self.state)
        with connection.schema_editor(atomic=False) as editor:
            (operation.database_forwards if forwards else operation.database_backwards)("shop", editor, self.state, self.state)

    def test_capture_and_back(self):
        capture = Capture("package", "package-lost", ["id", "carrier"], on=("insert", "update"), key=["number"],
                          include_old=True, condition="new.state = 'lost'")
        self.run_operation(RegisterEvent("package-lost", "It's lost, 100 %"))
        self.run_operation(capture)
        made = triggers()["package-lost"]
        self.assertEqual(made.options, ['columns="id","carrier_id"', 'key="number"', "include=old"])
        self.assertEqual((made.on, made.has_condition), ({"insert", "update"}, True))
        with self.assertRecords("package-lost") as events:
            package = Package.objects.create(number="C-1")
            Package.objects.filter(pk=package.pk).update(state="lost")
        self.assertEqual(events[0].object_id, "C-1")
        self.run_operation(capture, forwards=False)
        self.assertNotIn("package-lost", triggers())
        self.run_operation(RegisterEvent("package-lost"), forwards=False)

    def test_undo(self):
        undo = Undo(Capture("package", "package-created", ["id", "number", "carrier"]))
        self.run_operation(undo)
        self.assertNotIn("package-created", triggers())
        self.run_operation(undo, forwards=False)
        self.assertIn("package-created", triggers())

    def test_a_serializer_may_use_sql_and_percents(self):
        serializer = Serializer("lost_payload", "package", {"id": "id", "is_c": """($1)."number" LIKE 'C%'"""})
        self.run_operation(serializer)
        self.run_operation(RegisterEvent("package-lost"))
        self.run_operation(Capture("package", "package-lost", serializer="lost_payload"))
        with self.assertRecords("package-lost") as events:
            package = Package.objects.create(number="C-1")
        self.assertEqual(events[0].data, {"id": package.pk, "is_c": True})

    def test_a_field_that_is_not_there(self):
        for operation in (Capture("package", "x", ["id", "weight"]), Capture("package", "x", changed=["weight"]),
                          Serializer("x", "package", {"w": "weight"}), Undo(Capture("package", "x", key=["weight"]))):
            with self.subTest(operation.describe()), self.assertRaisesMessage(FieldDoesNotExist, "weight"):
                operation.state_forwards("shop", self.state)

    def test_an_operation_that_is_unknown(self):
        with self.assertRaisesMessage(ValueError, "on is insert, update, delete, not truncate"):
            Capture("package", "x", on="truncate")

    def test_they_can_be_written(self):
        """As squashmigrations does."""
        capture = Capture("package", "x", ["id"], on="update", changed=["state"])
        text = MigrationWriter(type("Migration", (migrations.Migration,), {"operations": [capture, Undo(capture)]})("squashed", "shop")).as_string()
        self.assertIn("changed=['state']", text)
        self.assertIn("whisperer_django.operations.Undo", text)


class Renames(RecordsEvents, TransactionTestCase):
    def tearDown(self):
        call_command("migrate", "shop", verbosity=0)

    def test_triggers_and_serializers_follow(self):
        self.assertIn('columns="id","number","carrier_id"', triggers()["package-created"].options)
        call_command("migrate", "shop", "0002", verbosity=0)
        self.assertIn('columns="id","order_number","carrier_id"', triggers()["package-created"].options)
        self.assertEqual(self.insert("order_number"), {"id", "order_number", "carrier_id"})
        call_command("migrate", "shop", verbosity=0)
        self.assertEqual(self.insert("number"), {"id", "number", "carrier_id"})
        with self.assertRecords("package-changed", 2) as events:
            Package.objects.update(state="lost")
        self.assertEqual({event.data["number"] for event in events}, {"D-1"})

    def insert(self, column):
        with self.assertRecords("package-created") as events, connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO shop_package ({column}, state) VALUES ('D-1', 'packed')")
        return set(events[0].data)
