"""Layers merged by pydantic-settings; imported only where something has to be merged."""

from collections.abc import Iterable
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from gatepass._config.toml import Table


class LayerSource(PydanticBaseSettingsSource):
    """What one layer says about a profile: a file that was read before, variables or arguments."""

    def __init__(self, settings: type[BaseSettings], tree: Table) -> None:
        super().__init__(settings)
        self._tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: the whole layer is returned at once by the call."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        return {"profile": self._tree}


class LayeredSettings(BaseSettings):
    """One profile, merged from layers. The values are checked later, each by its field's type."""

    model_config = SettingsConfigDict(extra="ignore")
    profile: dict[Any, Any] = {}  # of Any: a name that is no text would be shown by the error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is theirs
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return a source for each layer, the strongest first; no variable is read here."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - for the type checker
        trees = init_settings.init_kwargs["strongest_first"]
        return tuple(LayerSource(settings_cls, tree) for tree in trees)

    @classmethod
    def merge(cls, trees: Iterable[Table]) -> Table:
        """Merge layers key by key, the last one strongest.

        Two at a time, from below: with all at once, a table above a plain value would let the keys
        of a table below that value come back.
        """
        settings: Any = cls
        merged: Table = {}
        for tree in trees:
            merged = settings(strongest_first=[tree, merged]).profile
        return merged
