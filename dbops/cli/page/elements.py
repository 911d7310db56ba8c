"""Elements of HTML and SVG, with everything that is text escaped.

The standard library's serializer escapes; nothing here puts markup together by hand.
"""

from xml.etree import ElementTree as ET

from dbops.cli.render import safe

Element = ET.Element
Child = ET.Element | str | None

_DOCTYPE = "<!DOCTYPE html>\n"


def element(tag: str, *children: Child, **attributes: object) -> Element:
    """Make an element.

    Args:
        tag: Its name.
        children: Elements and texts in their order; None is left out.
        attributes: `class_` stands for `class`, and other underscores for hyphens;
            None is left out.
    """
    said = {
        name.rstrip("_").replace("_", "-"): safe(str(value))
        for name, value in attributes.items()
        if value is not None
    }
    made = ET.Element(tag, said)
    for child in children:
        _add(made, child)
    return made


def whole(root: Element) -> str:
    """Write a document."""
    return _DOCTYPE + ET.tostring(root, encoding="unicode", method="html") + "\n"


def _add(parent: Element, child: Child) -> None:
    if child is None:
        return
    if not isinstance(child, str):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + safe(child)
    else:
        parent.text = (parent.text or "") + safe(child)
