"""What can go wrong, and whose turn it is to mend it.

::

    ModerationError
    ├── PolicyError           the policy file says something that cannot be used
    ├── ModelError            the model's files are missing, altered or of another format
    ├── RecordError           a row of the input cannot be read as a comment
    ├── RunError              a review cannot be gone on with, or not in this way
    └── MissingPackageError   what was asked for needs a package that is not installed

Those of a worker process reach the one that started it as they are.

Every message is one line that names the place and the remedy.
"""


class ModerationError(Exception):
    """Any problem that the user of this package can mend."""


class PolicyError(ModerationError):
    """A policy cannot be used.

    Parameters
    ----------
    where
        File and, where known, rule and key, such as ``community.toml: rule threat.wish: fires_on``.
    problem
        What is wrong and what would be right, in one line.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.where, self.problem)


class ModelError(ModerationError):
    """A model cannot be loaded, or does not fit the code."""


class RunError(ModerationError):
    """A review in parts cannot begin or go on; what it has done is kept."""


class MissingPackageError(ModerationError):
    """What was asked for needs a package that is not installed.

    Parameters
    ----------
    package
        Its name, as far as the import system told it.
    extra
        Of this project, which brings it.
    instead
        What can be done without it.
    """

    def __init__(self, package: str | None, extra: str, instead: str = "") -> None:
        otherwise = f", or {instead}" if instead else ""
        super().__init__(f"{package} is not installed: pip install 'moderation[{extra}]'{otherwise}")
        self._given = (package, extra, instead)

    def __reduce__(self) -> tuple[type, tuple[str | None, str, str]]:
        return type(self), self._given


class RecordError(ModerationError):
    """One row of an input cannot be read as a comment.

    Parameters
    ----------
    source
        Name of the file, ``-`` for standard input.
    row
        Number of the row, from 1, a header not counted; 0 for the file as a whole.
    problem
        What is wrong and the remedy, in one line.
    """

    def __init__(self, source: str, row: int, problem: str) -> None:
        super().__init__(f"{source}: row {row}: {problem}" if row else f"{source}: {problem}")
        self.source = source
        self.row = row
        self.problem = problem

    def __reduce__(self) -> tuple[type, tuple[str, int, str]]:
        return type(self), (self.source, self.row, self.problem)
