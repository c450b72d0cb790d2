"""The cache in frameworks that need more than a middleware of a standard kind, each in a file of its own."""
