"""OpenID Connect: only the scheme ``oidc`` looks in here.

What goes over the wire is built by oauthlib and read by us; what is kept lies in the vault. One
file for each grant, so that each can be read beside its RFC.
"""
