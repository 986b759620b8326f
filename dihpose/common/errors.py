"""The one kind of error that a user can mend, and what is said of other errors and of packages that are missing."""

from importlib import import_module
from types import ModuleType

LONGEST = 2000  # characters


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong with which file or argument, and how to mend it.

    A message may quote a file. Characters that cannot be printed are escaped, and the middle of a very long text is left out.
    """

    def __init__(self, message: str):
        if not message.isprintable():
            message = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST * 3 // 4]} ... {message[-LONGEST // 5 :]}"
        super().__init__(message)


def reason(error: BaseException) -> str:
    """The first line of an error's text, or the name of its type where it has none.

    Example:
        >>> reason(ValueError("no header\\nat byte 3"))
        'no header'
        >>> reason(KeyError())
        'KeyError'
    """
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def needs(package: str, extra: str, what: str) -> ModuleType:
    """Import a package of one of dihpose's extras.

    Args:
        package: The name to import, such as ``"OpenEXR"`` or ``"torch"``.
        extra: The extra that installs it.
        what: What it is needed for, the start of the error's sentence.

    Returns:
        The imported module.

    Raises:
        InputError: The package is not installed; the message has the command that installs it.

    Example:
        >>> needs("json", "data", "reading JSON").loads("[1]")
        [1]
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        raise InputError(f'{what} needs {error.name}; install it with: pip install "dihpose[{extra}]"') from None
