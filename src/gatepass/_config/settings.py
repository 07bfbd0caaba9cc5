"""The pydantic-settings class that merges layers; imported only when ``_config.merge`` needs it."""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)


class _TableSource(PydanticBaseSettingsSource):
    """One layer: a table that was read before."""

    def __init__(self, settings: type[BaseSettings], table: dict[str, Any]) -> None:
        super().__init__(settings)
        self._table = table

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the whole layer is returned at once by the call."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        return {"profile": self._table}


class Layered(BaseSettings):
    """Merges tables as layers of settings."""

    model_config = SettingsConfigDict(extra="ignore")
    profile: dict[str, Any] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is theirs
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return a source for each table, the strongest first; no variable is read here."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - for the type checker
        tables = init_settings.init_kwargs["tables"]
        return tuple(_TableSource(settings_cls, table) for table in tables)

    @classmethod
    def over(cls, lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
        """Return the lower table with the upper one merged over it, key by key."""
        settings: Any = cls
        merged: dict[str, Any] = settings(tables=[upper, lower]).profile
        return merged
