"""Hooks and events in the admin, with what can be done about them."""
from datetime import timedelta

from django.contrib import admin, messages
from django.db import DatabaseError, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from .models import Delivery, Event, Hook


def each(model_admin, request, queryset, action, done):
    """Calls action for each, and says what was done; what the database refuses spoils nothing of the others."""
    count = 0
    for one in queryset:
        try:
            with transaction.atomic(using=queryset.db):
                count += action(one) or 0
        except DatabaseError as error:
            model_admin.message_user(request, f"{one}: {str(error).splitlines()[0]}", messages.ERROR)
    model_admin.message_user(request, done.format(count))


@admin.register(Hook)
class HookAdmin(admin.ModelAdmin):
    list_display = ("id", "event_type", "target_url", "state", "state_reason", "description")
    fields = ("event_type", "target_url", "description", "state", "state_reason", "created_at")
    actions = ("recover", "pause", "resume")

    def get_readonly_fields(self, request, obj=None):
        return ("state", "state_reason", "created_at")

    def save_model(self, request, obj, form, change):
        if change:
            obj.update(**{name: form.cleaned_data[name] for name in form.changed_data})
        else:
            obj.create()

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.action(description="Recover what failed in the last 24 hours", permissions=["change"])
    def recover(self, request, queryset):
        since = timezone.now() - timedelta(hours=24)
        each(self, request, queryset, lambda hook: hook.recover(since), "{} deliveries are queued again.")

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request, queryset):
        each(self, request, queryset, lambda hook: hook.pause() or 1, "{} hooks are paused.")

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request, queryset):
        each(self, request, queryset, lambda hook: hook.resume() or 1, "{} hooks are resumed.")


class HasDelivery(admin.SimpleListFilter):
    title = "deliveries"
    parameter_name = "delivery"

    def lookups(self, request, model_admin):
        return [(state, f"one is {state}") for state in ("failed", "pending", "delivered")]

    def queryset(self, request, queryset):
        if self.value():
            queryset = queryset.filter(Exists(Delivery.objects.filter(event=OuterRef("pk"), state=self.value())))
        return queryset


@admin.register(Event)
class EventAdmin(admin.ModelAdmin):
    list_display = ("created_at", "event_type", "object_id", "source")
    list_filter = (HasDelivery,)
    fields = readonly_fields = ("id", "event_type", "object_id", "source", "created_at", "data", "deliveries")
    ordering = ("-id",)    # Ids begin with the time.
    actions = ("retry",)
    # A log can be long: no count of all, for which every row would be read.
    show_full_result_count = False

    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    @admin.action(description="Retry failed deliveries", permissions=["change"])
    def retry(self, request, queryset):
        each(self, request, queryset, lambda event: event.retry(), "{} deliveries are queued again.")

    @admin.display(description="deliveries")
    def deliveries(self, event):
        rows = [(one.hook_id, one.hook.target_url, one.state, event.why(one.hook_id))
                for one in Delivery.objects.filter(event=event).select_related("hook")]
        return format_html("<table>{}</table>", format_html_join(
            "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", rows)) if rows else "none"
