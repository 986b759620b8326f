"""The one kind of error a user can mend: its text names the file or argument, and the fix."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong with what, and what to do about it."""
