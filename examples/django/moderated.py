"""A form mixin that asks the moderation service before a comment is saved.

Settings: ``MODERATION_URL``, ``MODERATION_TIMEOUT`` in seconds, and ``MODERATION_KEY`` if the service asks for one.
Needs ``httpx``.
"""

from typing import Any

import httpx
from django import forms
from django.conf import settings


class ModeratedFormMixin:
    """Refuses what the policy rejects and says why; sets ``held`` on the row when no answer came.

    Name the field in ``moderated_field``; the model needs a boolean field ``held``, and what you publish
    leaves held rows out. So it fails closed: without an answer nothing appears, and nothing is lost.
    """

    moderated_field = "text"

    def clean(self) -> Any:
        """Ask the service, once the fields themselves are valid."""
        cleaned = super().clean() or self.cleaned_data  # type: ignore[misc]
        text = cleaned.get(self.moderated_field)
        if not text:
            return cleaned
        headers = {"Authorization": f"Bearer {settings.MODERATION_KEY}"} if settings.MODERATION_KEY else {}
        options = {"json": {"text": text}, "headers": headers, "timeout": settings.MODERATION_TIMEOUT}
        try:
            decision = httpx.post(f"{settings.MODERATION_URL}/v1/decisions", **options).raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            self.instance.held = True  # type: ignore[attr-defined]
            return cleaned
        if decision["verdict"] != "approve":
            raise forms.ValidationError({self.moderated_field: decision["reason"]})
        return cleaned
