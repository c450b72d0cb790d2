"""This cache under the interfaces of other projects: Django, Flask-Caching, cachelib, dogpile.cache, aiocache. One file each.

None is imported by the package: each needs the project that it is named after.
"""
