"""InputError, the error for bad input; short reasons of other errors; errors for packages that are not installed."""

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


def needs(package: str, what: str) -> ModuleType:
    """Import a package of one of dihpose's extras.

    Args:
        package: The name to import, such as ``"OpenEXR"`` or ``"torch"``.
        what: What it is needed for, the start of the error's sentence.

    Returns:
        The imported module.

    Raises:
        InputError: The package is not installed; the message has the command that installs it.

    Example:
        >>> needs("json", "reading JSON").loads("[1]")
        [1]
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise missing(error, what) from None


# The extra that installs a package which the base installation does not have.
EXTRAS = {
    **dict.fromkeys(("onnx", "onnxscript", "safetensors", "scipy", "tensorboard", "torch"), "train"),
    **dict.fromkeys(("OpenEXR", "av", "h5py", "pooch", "pycocotools", "requests"), "data"),
    **dict.fromkeys(("IPython", "matplotlib", "nbformat", "papermill", "seaborn"), "notebooks"),
    "openvino": "openvino",
}


def missing(error: ModuleNotFoundError, what: str = "this") -> Exception:
    """The error to raise where a package is not installed.

    Args:
        error: What Python raised.
        what: What the package is needed for.

    Returns:
        An InputError with the command that installs it, or ``error`` itself where no extra has the package.

    Example:
        >>> print(missing(ModuleNotFoundError(name="torch"), "training"))
        training needs torch; install it with: pip install "dihpose[train]"
    """
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return error
    return InputError(f'{what} needs {package}; install it with: pip install "dihpose[{EXTRAS[package]}]"')
