"""What does a revision's file assign, where it begins as Alembic writes it?

With a docstring, comments, imports and our names, and nothing else: so no line of that
beginning can be inside of something else, and regular expressions read it exactly.
"""

import ast
import codecs
import re
import unicodedata
from collections.abc import Mapping

_NAMED = r"(?:revision|branch_labels|depends_on)"

_BLANK = r"(?:[ \t]*(?:#[^\n]*)?\n)*+"
_DOCSTRING = (
    r'(?:[rR]?"""[^"\\]*+(?:(?:\\[\s\S]|"(?!""))[^"\\]*+)*+"""[ \t]*\n'
    r"|[rR]?'''[^'\\]*+(?:(?:\\[\s\S]|'(?!''))[^'\\]*+)*+'''[ \t]*\n"
    r"""|"[^"\\\n]++"[ \t]*\n|'[^'\\\n]++'[ \t]*\n)?+"""
)
_IMPORT = (
    rf"(?:import|from)[ \t](?![^\n]*{_NAMED})[\w., \t]+"
    rf"(?:\((?:(?!{_NAMED})[\w,\s])*\)[ \t]*)?(?:#[^\n]*)?\n"
)
_BEGINNING = re.compile(
    rf"{_BLANK}{_DOCSTRING}{_BLANK}(?:{_IMPORT}{_BLANK})*+", re.ASCII
)
# A value in brackets is read by Python itself, which refuses half of a string.
_ASSIGNMENT = re.compile(
    r"(revision|down_revision|branch_labels|depends_on)[ \t]*(?::[\w., |\[\]\t]+)?="
    r"""[ \t]*(?:(None)|'([^'\\\n]*)'|"([^"\\\n]*)\""""
    r"|(\([^()\[\]#]*\)|\[[^()\[\]#]*\]))"
    rf"[ \t]*(?:#[^\n]*)?\n{_BLANK}",
    re.ASCII,
)
# Where none of these is found, none of those is there; they begin with a word each,
# which is what makes them fast.
_MAYBE_DYNAMIC = tuple(
    re.compile(pattern)
    for pattern in (
        r"import[\s\\(]*\*",
        r"exec(?!ut)",
        r"eval(?![a-z])",
        r"vars(?![a-z])",
        r"globals",
        r"locals",
        r"setattr",
        r"delattr",
        r"modules",
        r"__dict__",
        r"__getattr__",
    )
)
_COOKIE = re.compile(rb"(?:[^\n]*\n)?[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def beginning(source: bytes) -> Mapping[str, object] | None:
    """Return what a file assigns to our names; None where it has to be parsed.

    Args:
        source: The file.

    Raises:
        UnicodeDecodeError: If it is not UTF-8.
        Exception: Whatever reading a value raises.
    """
    cookie = _COOKIE.match(source)
    if cookie and cookie[1].lower() not in (b"utf-8", b"utf8"):
        return None
    text = source.removeprefix(codecs.BOM_UTF8).decode() + "\n"
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    values: dict[str, object] = {}
    begun = _BEGINNING.match(text)
    position = begun.end() if begun else 0
    while found := _ASSIGNMENT.match(text, position):
        name, none, single, double, several = found.groups()
        if name in values:
            return None
        plain = None if none else single if double is None else double
        values[name] = ast.literal_eval(several) if several else plain
        position = found.end()
    rest = text[position:]
    if not rest.isascii():
        # Python takes other forms of a letter for the letter.
        rest = unicodedata.normalize("NFKC", rest)
    names = ("revision", "branch_labels", "depends_on")
    if any(name in rest for name in names) or any(
        it.search(rest) for it in _MAYBE_DYNAMIC
    ):
        return None
    return values
