"""databricks-sdk: a named profile of ``~/.databrickscfg``, and its headers."""

from databricks.sdk.config import Config

Config(profile="prod").authenticate()
