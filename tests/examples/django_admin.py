"""The admin's retry and recover on deliveries that failed: for a database that delivers, which no test database does.

    python3 manage.py shell < django_admin.py      RECEIVER: a URL that answers 2xx; WAIT_S
"""
import os
import time

from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import setup_test_environment

from shop.models import Package
from whisperer_django.models import Delivery, Hook

setup_test_environment()    # so that an answer has its messages
receiver, wait_s = os.environ["RECEIVER"], float(os.environ["WAIT_S"])
hook = Hook(event_type="package-created", target_url="http://127.0.0.1:1/", description="nobody is there")
hook.create()
hook.update(retry_countdown_config={"choice": "fixed", "kwargs": {"seconds": 1}, "max_retries": 0})
client = Client(HTTP_HOST="localhost")
client.force_login(get_user_model().objects.create_superuser("ann"))


def wait_for(state, count):
    end = time.time() + wait_s
    while Delivery.objects.filter(hook=hook, state=state).count() != count:
        assert time.time() < end, f"timed out: {state}"
        time.sleep(0.02)


def act(model, action, key):
    answer = client.post(f"/admin/whisperer_django/{model}/", {"action": action, "_selected_action": key}, follow=True)
    print(f"{action}: {' '.join(str(one) for one in answer.context['messages'])}")


Package.objects.create(number="E-1")
Package.objects.create(number="E-2")
wait_for("failed", 2)
failed = list(Delivery.objects.filter(hook=hook).order_by("event"))
page = client.get("/admin/whisperer_django/event/?delivery=failed").content.decode()
print(f"listed: {page.count('field-event_type')}")
page = client.get(f"/admin/whisperer_django/event/{failed[0].event_id}/change/").content.decode()
print(f"why: {'connection refused' in page}")
hook.update(target_url=receiver)
act("event", "retry", failed[0].event_id)
wait_for("delivered", 1)
act("event", "retry", failed[0].event_id)
act("hook", "recover", hook.pk)
wait_for("delivered", 2)
