"""The HTTP response cache: what may be stored and reused is decided here once, for every framework. ARCHITECTURE.md has a row for each file.

    asgi*  wsgi*  hooks  overridable  shapes  steps      adapters: they read requests, run the application and send what they are told to
                      |
    middleware  purging  warming  admin  statistics  leading  unshared      what all of them are to programs, operators and each other
                      |
    admission  exchange  (decisions)      shelf  finder  ordinary      one request's way through the cache, no I/O; responses in a ``SmartCache``
                      |
    storing  reuse  validation  ranges  search  freshness      what RFC 9110 and 9111 say, a chapter each
                      |
    keys  stored  policy  patterns  message  fields            from request to key; the stored form; the parameters

``cache_middleware`` has the public names.
"""
