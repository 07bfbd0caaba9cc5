"""What all connections share: URLs, TLS and proxy settings, challenges, a server on loopback."""
