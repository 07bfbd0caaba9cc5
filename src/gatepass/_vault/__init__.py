"""Stored logins: records that are encrypted, in files or in redis.

``vault`` is what the schemes use; the session makes it from a store and a key.
"""

__all__ = ["diagnose", "file_store", "key", "records", "redis_store", "vault"]
