"""Tests of the secret references and their sources."""  # noqa: A005 - imported as tests.secrets only
