"""A report as one self-contained page of HTML."""

from dbops.cli.page.document import page

__all__ = ["page"]
