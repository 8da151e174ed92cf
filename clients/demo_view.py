"""How the demo looks: the film's story, each answer beside its truth with the moments that prove it, the verdict."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image
from rich.color import Color
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.style import Style
from rich.table import Table
from rich.text import Text

from clients.demo_checks import Asked, Check, Moment
from clients.plain import plain
from training.world import SECOND, Script, captions

_THUMBNAIL: Final = (24, 18)
_ABOUT: Final = {
    "now": "about now",
    "past": "about what has left the picture",
    "never": "about what never happened",
}
_YES, _NO, _OPEN = "[green]✓[/]", "[red]✗[/]", "[dim]·[/]"


def show_film(console: Console, script: Script, stream: str, size: tuple[int, int], fps: int) -> None:
    """What the film tells, by its captions."""
    table = Table.grid(padding=(0, 2))
    for caption in captions(script):
        table.add_row(Text(clock(caption.start_us), style="cyan"), caption.text.rstrip(".").capitalize())
    form = f"{script.duration_us / SECOND:.0f} s, {size[0]}x{size[1]}, {fps} frames/s, seed {script.seed}"
    console.print(
        Panel(
            table, title=f"[bold]The film[/] {form}", subtitle=f"pushed as stream [bold]{stream}[/]", title_align="left"
        )
    )


def show_answer(console: Console, number: int, asked: Asked) -> None:
    """One question: the answer beside the truth, its moments, its timing."""
    question, answer = asked.question, asked.reply.answer
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", min_width=8)
    table.add_row("truth", Text(question.answer, style="bold green"))
    table.add_row("answer", Text(plain(answer["answer"].strip()) or "(nothing)", style="bold", overflow="ellipsis"))
    table.add_row("", _verdict(asked))
    table.add_row("moments", _moments(console, asked))
    table.add_row("timing", _timing(asked))
    title = f"[bold]{number}. {question.text}[/] [dim]{_ABOUT[question.about]}[/]"
    console.print(Panel(table, title=title, title_align="left", border_style="blue"))


def _verdict(asked: Asked) -> Text:
    if asked.question.accepts(asked.reply.answer["answer"]):
        return Text("true", style="green")
    return Text("not true", style="red")


def _moments(console: Console, asked: Asked) -> RenderableType:
    if not asked.moments:
        return Text("none were needed" if asked.question.about == "now" else "none", style="dim")
    table = Table.grid(padding=(0, 2))
    for moment in asked.moments:
        table.add_row(_told(moment, asked))
    first = next((moment for moment in asked.moments if moment.proves(asked.question)), asked.moments[0])
    if console.is_terminal and console.color_system == "truecolor":
        return Group(table, thumbnail(first.jpeg))
    return table


def _told(moment: Moment, asked: Asked) -> Text:
    text = Text(f"{clock(moment.start_us)} to {clock(moment.end_us)}")
    if moment.frame_us is not None:
        text.append(f", seen at {clock(moment.frame_us)}")
    text.append(f", score {moment.score:.2f}", style="dim")
    if asked.question.about != "never":
        proves = moment.proves(asked.question)
        text.append("  shows the true moment" if proves else "  from another moment", "green" if proves else "dim")
    return text


def _timing(asked: Asked) -> Text:
    timing, answer = asked.reply.answer["timing"], asked.reply.answer
    parts = [f"first token {timing['ttft_ms']:.0f} ms", f"all {timing['total_ms']:.0f} ms"]
    parts += [f"recall {timing['recall_ms']:.1f} ms", f"prefill {timing['prefill_ms']:.0f} ms"]
    if answer["staleness_ms"] is not None:
        parts.append(f"newest frame {answer['staleness_ms']} ms old")
    return Text(", ".join(parts))


def show_checks(console: Console, checks: Sequence[Check]) -> None:
    """What held and what did not."""
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(_YES if check.ok else _NO, check.name, Text(plain(check.detail), style="dim"))
    console.print(Panel(table, title="[bold]Checked[/]", title_align="left"))


def thumbnail(jpeg: bytes) -> Text:
    """A picture in half blocks, two pixels a character."""
    width, height = _THUMBNAIL
    with Image.open(io.BytesIO(jpeg)) as picture:
        small = picture.convert("RGB").resize((width, height))
    text = Text()
    for row in range(0, height, 2):
        for column in range(width):
            upper, lower = _pixel(small, column, row), _pixel(small, column, row + 1)
            text.append("▀", Style(color=upper, bgcolor=lower))
        text.append("\n")
    return text


def _pixel(picture: Image.Image, x: int, y: int) -> Color:
    pixel = picture.getpixel((x, y))
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return Color.from_rgb(red, green, blue)


def clock(time_us: int) -> str:
    """Minutes, seconds and tenths."""
    tenths = max(0, round(time_us / (SECOND // 10)))
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
