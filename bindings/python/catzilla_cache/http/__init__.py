"""The HTTP response cache: what may be stored and reused is decided here once, for every framework.

    asgi  wsgi  hooks        adapters: they read requests, run the application and send what they are told to
        \\   |   /
        exchange             one request's way through the cache: events in, decisions out, no I/O
            |
    storing  reuse  validation  ranges  freshness      what RFC 9110 and 9111 say, a chapter each
            |
    keys  stored  policy  message  fields              from request to key; the stored form; the parameters

``shelf`` keeps responses in a ``SmartCache``, ``purging``, ``warming`` and ``admin`` stand on it. ``cache_middleware`` has the public names.
"""
