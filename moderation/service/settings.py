"""What ``moderation serve`` takes: an option, an environment variable ``MODERATION_*`` or a line of a TOML file.

The first of these that says something counts. In the environment ``__`` reaches into a table and lists are
JSON: ``MODERATION_CORAL_SECRETS='["one", "two"]'``.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from moderation.errors import RecordError

_PATHS = ("policy", "model", "state")
_SQLITE = "sqlite:///"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class SiteSettings(BaseModel):
    """One site: its policy, and the stages that judge it where they are not the service's."""

    model_config = ConfigDict(extra="forbid")

    policy: Path | None = None
    classifier: Literal["cascade", "linear", "encoder"] | None = None


class _FromFile(TomlConfigSettingsSource):
    """The file's lines; paths in it are relative to its own folder."""

    def __call__(self) -> dict[str, Any]:
        found = dict(super().__call__())
        folder = Path(str(self.toml_file_path)).parent

        def placed(table: dict[str, Any]) -> dict[str, Any]:
            return {
                name: str(folder / value) if name in _PATHS and isinstance(value, str) else value
                for name, value in table.items()
            }

        found = placed(found)
        if isinstance(found.get("sites"), dict):
            found["sites"] = {
                name: placed(site) if isinstance(site, dict) else site for name, site in found["sites"].items()
            }
        audit = found.get("audit")
        if isinstance(audit, str) and audit.startswith(_SQLITE) and audit not in (_SQLITE, f"{_SQLITE}:memory:"):
            found["audit"] = f"{_SQLITE}{folder / audit.removeprefix(_SQLITE)}"
        return found


class Settings(BaseSettings):
    """All that the service can be told; see docs/service.md."""

    model_config = SettingsConfigDict(
        env_prefix="MODERATION_",
        env_nested_delimiter="__",
        extra="forbid",
        env_ignore_empty=True,
        allow_inf_nan=False,
    )
    file: ClassVar[Path | None] = None

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    workers: int = Field(1, ge=1, le=256)
    policy: Path | None = None
    model: Path | None = None
    classifier: Literal["cascade", "linear", "encoder"] = "cascade"
    sites: dict[str, SiteSettings] = {}
    """Further sites by id; the site ``default`` is the service's own policy."""
    state: Path = Path("moderation-state")
    """Folder of the audit log (unless ``audit`` is given) and the keys."""
    audit: str = ""
    """SQLAlchemy URL of the audit log; ``audit.db`` in the state folder if empty."""
    keep_text: bool = False
    """Whether the audit log keeps the comments' texts."""
    audit_sync: Literal["process", "power"] = "process"
    """What an answered decision survives: the end of the process, or of the machine's power (SQLite; slower)."""
    max_body_bytes: int = Field(8 << 20, ge=1)
    max_batch: int = Field(1000, ge=1)
    max_text_chars: int = Field(50_000, ge=1)
    max_queue: int = Field(4000, ge=1)
    """Comments that may wait."""
    max_wait_seconds: float = Field(1.0, gt=0)
    """A request that would likely wait longer than this is answered 503 at once."""
    rate_per_key: float = Field(0.0, ge=0)
    """Comments a second that one key may send; 0 for no limit."""
    header_timeout_seconds: float = Field(10.0, gt=0)
    body_timeout_seconds: float = Field(20.0, gt=0)
    idle_timeout_seconds: float = Field(30.0, gt=0)
    drain_seconds: float = Field(30.0, gt=0)
    session_hours: float = Field(12.0, gt=0)
    coral_secrets: list[str] = []
    """Signing secrets of Coral's external moderation phase; several while they are changed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Options first, then the environment, then the file."""
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if cls.file:
            sources.append(_FromFile(settings_cls, cls.file))
        return tuple(sources)

    @property
    def audit_url(self) -> str:
        """Where the audit log lies."""
        return self.audit or f"sqlite:///{self.state / 'audit.db'}"

    @property
    def keys_file(self) -> Path:
        """Where the API keys lie, hashed."""
        return self.state / "keys.json"

    @property
    def loopback(self) -> bool:
        """Whether nobody but this machine can reach the service."""
        return self.host in LOOPBACK


def read_settings(file: Path | None = None, **options: Any) -> Settings:
    """Read the settings; options that are None count as not given.

    Raises
    ------
    RecordError
        When a setting cannot be used; the message names it.
    """
    if file and not file.is_file():
        raise RecordError(str(file), 0, "no such file; name a TOML file of settings")
    given = {name: value for name, value in options.items() if value is not None}
    from_file = type("Settings", (Settings,), {"file": file, "__module__": __name__})
    try:
        settings: Settings = from_file(**given)
        return settings
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise RecordError(str(file or "settings"), 0, f"{name}: {first['msg']}") from None
    except ValueError as error:  # A TOML file that is none, JSON in the environment that is none.
        raise RecordError(str(file or "settings"), 0, str(error)) from None
