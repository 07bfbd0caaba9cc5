"""The session: a profile in, requests out."""
