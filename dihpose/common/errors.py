"""The one kind of error a user can mend: its text names the file or argument, and the fix."""

LONGEST = 2000  # characters


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong with what, and what to do about it. What a file says of itself may
    stand in it: of that, unprintable characters are escaped, and the middle of what is endless is left out."""

    def __init__(self, message: str):
        if not message.isprintable():
            message = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
        if len(message) > LONGEST:
            message = f"{message[: LONGEST * 3 // 4]} ... {message[-LONGEST // 5 :]}"
        super().__init__(message)
