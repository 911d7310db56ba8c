"""Text from elsewhere, fit to stand in a sentence of ours."""

_MAX_LENGTH = 500


def one_line(text: str) -> str:
    """Return `text` on one line, control characters escaped, and not for ever long."""
    line = " ".join(text.split())
    if len(line) > _MAX_LENGTH:
        line = line[:_MAX_LENGTH] + "…"
    return "".join(
        letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line
    )
