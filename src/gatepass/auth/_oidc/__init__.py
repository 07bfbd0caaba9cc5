"""The flows of OpenID Connect, for the scheme ``oidc`` alone."""
