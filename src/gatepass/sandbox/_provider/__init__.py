"""The practice identity provider: its endpoints and what it has granted."""
