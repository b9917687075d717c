"""Where the files that come with the package lie: inside a wheel, or at the top of a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _home(folder: str) -> Path:
    inside = _PACKAGE / folder
    return inside if inside.is_dir() else _PACKAGE.parent / folder


DATA = _home("data")
MODELS = _home("models")
DEFAULT_POLICY = DATA / "policies" / "community.toml"
