"""What a page is made of: sections of blocks, which the template turns into HTML."""

from dataclasses import dataclass, field

from markupsafe import Markup

from train.report.tables import Table


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Missing:
    """What is not there to show, and why."""

    text: str
    kind: str = "missing"


@dataclass(frozen=True)
class TableBlock:
    """A table."""

    table: Table
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A drawing as SVG, what it shows in words, and what is written under it."""

    svg: Markup
    alternative: str
    caption: str
    kind: str = "picture"


@dataclass(frozen=True)
class Sound:
    """A sound to play, as a data URI."""

    uri: str
    title: str
    kind: str = "sound"


@dataclass(frozen=True)
class Source:
    """Text as it stands in a file."""

    text: str
    title: str
    kind: str = "source"


@dataclass(frozen=True)
class Heading:
    """The title of a part of a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on demand."""

    summary: str
    blocks: list["Block"]
    kind: str = "fold"


Block = Text | Missing | TableBlock | Picture | Sound | Source | Heading | Fold


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its contents."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
