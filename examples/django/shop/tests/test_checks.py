"""The system checks: nothing to say of the shop as it is, and a warning for each way to be otherwise."""
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test import TestCase

from shop.models import Package
from whisperer_django.capture import CaptureSpec
from whisperer_django.checks import check_triggers, check_wishes
from whisperer_django.wishes import WISHES


class Checks(TestCase):
    def found(self, *statements):
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        return [(one.id, one.msg) for one in check_triggers(databases=["default"])]

    def test_the_shop_has_what_it_wishes(self):
        call_command("check", databases=["default"], fail_level="WARNING")
        self.assertEqual(self.found(), [])

    def test_no_migration_is_missing(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    def test_a_trigger_is_missing(self):
        self.assertEqual(self.found('DROP TRIGGER "package-created" ON shop_package'),
                         [("whisperer.W002", "package-created: there is no capture trigger for it.")])
        with self.assertRaisesMessage(SystemCheckError, "W002"):
            call_command("check", databases=["default"], fail_level="WARNING")

    def test_a_trigger_is_another(self):
        (number, text), = self.found(
            'DROP TRIGGER "package-created" ON shop_package',
            """CREATE TRIGGER "package-created" AFTER INSERT OR DELETE ON shop_package FOR EACH ROW
               EXECUTE FUNCTION whisperer.capture('package-created', 'columns=id')""",
            'ALTER TABLE shop_package DISABLE TRIGGER "package-created"')
        self.assertEqual(number, "whisperer.W003")
        for part in ('it lacks columns="id","number","carrier_id"', "it has columns=id", "delete or insert, not for insert", "it is disabled"):
            self.assertIn(part, text)

    def test_a_trigger_that_nobody_wishes(self):
        self.assertEqual(self.found("""CREATE TRIGGER more AFTER INSERT ON shop_package FOR EACH ROW
                                       EXECUTE FUNCTION whisperer.capture('package-created')"""),
                         [("whisperer.W004", "The trigger more captures package-created, which the model does not wish.")])

    def test_an_event_type_that_nobody_registered(self):
        spec = CaptureSpec("package-lost")
        WISHES[Package].append(spec)
        self.addCleanup(WISHES[Package].remove, spec)
        self.assertEqual([number for number, _ in self.found()], ["whisperer.W002", "whisperer.W005"])

    def test_a_field_that_is_not_there(self):
        spec = CaptureSpec("package-created", ["weight"])
        WISHES[Package].append(spec)
        self.addCleanup(WISHES[Package].remove, spec)
        self.assertEqual([one.id for one in check_wishes()], ["whisperer.E001"])
