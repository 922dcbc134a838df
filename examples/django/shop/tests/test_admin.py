"""The admin: hooks are made and changed, events are looked at, and actions say what they did."""
from django.contrib.auth import get_user_model
from django.test import TestCase

from shop.models import Package
from whisperer_django.models import Event, Hook


class Admin(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.user = get_user_model().objects.create_superuser("ann")
        cls.hook = Hook(event_type="package-created", target_url="https://partner.example/hooks")
        cls.hook.create()
        Package.objects.create(number="A-1")
        cls.event = Event.objects.get(event_type="package-created")

    def setUp(self):
        self.client.force_login(self.user)

    def act(self, model, action, one):
        answer = self.client.post(f"/admin/whisperer_django/{model}/", {"action": action, "_selected_action": one.pk}, follow=True)
        return [str(message) for message in answer.context["messages"]]

    def state(self):
        return Hook.objects.get(pk=self.hook.pk).state

    def test_hooks(self):
        self.assertContains(self.client.get("/admin/whisperer_django/hook/"), "https://partner.example/hooks")
        self.client.post("/admin/whisperer_django/hook/add/", {
            "event_type": "package-*", "target_url": "https://other.example/", "description": "all of packages"})
        made = Hook.objects.get(event_type="package-*")
        self.assertEqual(made.description, "all of packages")
        self.assertTrue(made.secret().startswith("whsec_"))
        self.client.post(f"/admin/whisperer_django/hook/{made.pk}/change/", {
            "event_type": "package-*", "target_url": "https://third.example/", "description": ""})
        made.refresh_from_db()
        self.assertEqual(made.target_url, "https://third.example/")

    def test_pause_and_resume(self):
        self.assertEqual(self.act("hook", "pause", self.hook), ["1 hooks are paused."])
        self.assertEqual(self.state(), "paused")
        self.assertEqual(self.act("hook", "resume", self.hook), ["1 hooks are resumed."])
        self.assertEqual(self.state(), "active")

    def test_recover(self):
        self.assertEqual(self.act("hook", "recover", self.hook), ["0 deliveries are queued again."])

    def test_events(self):
        page = self.client.get("/admin/whisperer_django/event/")
        self.assertContains(page, "package-created")
        self.assertNotContains(self.client.get("/admin/whisperer_django/event/?delivery=failed"), "field-event_type")
        self.assertContains(self.client.get(f"/admin/whisperer_django/event/{self.event.pk}/change/"), "A-1")

    def test_a_refused_action_says_why(self):
        """Nothing was delivered here, so nothing can be retried; the error of one spoils no other."""
        refused, done = self.act("event", "retry", self.event)
        self.assertIn(str(self.event), refused)
        self.assertEqual(done, "0 deliveries are queued again.")
