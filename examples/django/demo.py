"""A site of one page with a moderated comment form.

Run: ``pip install django httpx``, ``moderation serve`` and ``python demo.py runserver 8080``.
"""

import os
import sys

import django
from django.conf import settings

settings.configure(
    DEBUG=True,
    ALLOWED_HOSTS=["localhost", "127.0.0.1", "testserver"],
    SECRET_KEY=os.environ.get("SECRET_KEY") or os.urandom(32).hex(),
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DB", "comments.sqlite3")}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    MODERATION_URL=os.environ.get("MODERATION_URL", "http://127.0.0.1:8000"),
    MODERATION_KEY=os.environ.get("MODERATION_KEY", ""),
    MODERATION_TIMEOUT=float(os.environ.get("MODERATION_TIMEOUT", "2")),
)
django.setup()

from django import forms  # noqa: E402
from django.core.management import execute_from_command_line  # noqa: E402
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.urls import path  # noqa: E402
from moderated import ModeratedFormMixin  # noqa: E402


class Comment(models.Model):  # noqa: D101
    text = models.TextField(max_length=10_000)
    held = models.BooleanField(default=False)

    class Meta:  # noqa: D106
        app_label = "comments"


class CommentForm(ModeratedFormMixin, forms.ModelForm):  # noqa: D101
    class Meta:  # noqa: D106
        model = Comment
        fields = ("text",)


PAGE = engines["django"].from_string(
    "<!doctype html><title>Comments</title>{% for comment in comments %}<p>{{ comment.text }}{% endfor %}"
    "<form method=post>{% csrf_token %}{{ form }}<button>Send</button></form>"
)


def page(request: HttpRequest) -> HttpResponse:
    """Show what is published, and take a comment."""
    form = CommentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
    shown = {"comments": Comment.objects.filter(held=False), "form": form}
    return HttpResponse(PAGE.render(shown, request), status=422 if form.errors else 200)


urlpatterns = [path("", page)]

if Comment._meta.db_table not in connection.introspection.table_names():
    with connection.schema_editor() as editor:
        editor.create_model(Comment)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
