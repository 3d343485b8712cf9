"""What a part of the page is made of: figures, images, and the words around them."""

from typing import NamedTuple


class Drawing(NamedTuple):
    """A figure: its `<svg>`, what it shows in words, and a caption."""

    svg: str
    alt: str
    caption: str = ""


class Section(NamedTuple):
    """A heading with words and figures under it.

    Attributes:
        text: What the figures show.
        drawings: `Drawing`s.
        key: Pairs of a CSS colour and what it stands for.
        examples: Rows of the gallery.
        absent: Why there is nothing to show; empty where there is.
        panels: Whether the drawings are small and stand side by side.
        name: Id of the section, without that of the model; a view's comes from its registry.
        title: Heading; likewise.
    """

    text: str = ""
    drawings: tuple = ()
    key: tuple = ()
    examples: tuple = ()
    absent: str = ""
    panels: bool = False
    name: str = ""
    title: str = ""


class Cell(NamedTuple):
    """An image of the gallery: its address, what it is in words, and a caption."""

    address: str
    alt: str
    caption: str
