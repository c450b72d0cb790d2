"""The command line, ``catzilla-cache`` or ``python -m catzilla_cache``: one file a subcommand, and what they share.

Not imported by the package itself, and not meant to be imported by programs: what it prints is its interface, in JSON with
``--json``.
"""
