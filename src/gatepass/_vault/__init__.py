"""Stored logins: records that are encrypted, in files or in redis."""
