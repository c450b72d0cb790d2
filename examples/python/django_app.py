"""A Django site in one file, with this cache behind Django's: pages, templates' fragments and calls of one's own.

    PYTHONPATH=bindings/python python3 examples/python/django_app.py           (needs Django)

Run as a program it asks itself, and prints:

    the first time: rendered 1
    the second time: rendered 1
    per user: Ada has 1 visits, Grace has 1 visits, Ada has 2 visits
    sessions are in the cache, too: {'language': 'en'}
    after clearing: rendered 2
"""

from importlib import import_module

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY="of the example",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        CACHES={
            "default": {
                "BACKEND": "catzilla_cache.contrib.django.CatzillaCache",
                # Nothing: memory alone. A server ("redis://localhost:6379/0") or a folder ("/var/cache/site") goes below it.
                "LOCATION": "",
                "TIMEOUT": 300,
                "OPTIONS": {"memory.capacity": 10_000},
            }
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        USE_TZ=True,
    )
    django.setup()

from django.core.cache import cache  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.cache import cache_page  # noqa: E402

rendered = 0


@cache_page(60)
def page(request: HttpRequest) -> HttpResponse:
    global rendered
    rendered += 1
    return HttpResponse(f"rendered {rendered}")


def visit(request: HttpRequest, name: str) -> HttpResponse:
    # Of two requests at the same time none is lost.
    cache.add(f"visits:{name}", 0, timeout=None)
    return HttpResponse(f"{name} has {cache.incr(f'visits:{name}')} visits")


urlpatterns = [path("page", page), path("visit/<name>", visit)]


def main() -> None:
    from django.test import Client

    client = Client()
    print("the first time:", client.get("/page").content.decode())
    print("the second time:", client.get("/page").content.decode())
    print("per user:", ", ".join(client.get(f"/visit/{name}").content.decode() for name in ("Ada", "Grace", "Ada")))

    sessions = import_module(settings.SESSION_ENGINE)
    session = sessions.SessionStore()
    session["language"] = "en"
    session.save()
    print("sessions are in the cache, too:", dict(sessions.SessionStore(session.session_key).items()))

    cache.clear()
    print("after clearing:", client.get("/page").content.decode())


if __name__ == "__main__":
    main()
