"""All pictures of the pages on one sheet: two rows a language, by day and by night; a column a page."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HEIGHT, GAP, MARGIN = 270, 6, 18
SCHEMES = ("light", "dark")
COLOURS = 192  # enough for flat pages, and a third of the bytes
FONT = "DejaVuSans.ttf"


def shot(folder: Path, page: str, code: str, width: int, scheme: str) -> Path:
    """Where the picture of a page is."""
    return folder / f"{page}-{code}-{width}-{scheme}.png"


def contact_sheet(
    folder: Path, pages: tuple[str, ...], names: dict[str, str], widths: tuple[int, ...]
) -> Image.Image:
    """Put the pictures of all pages together. Raises FileNotFoundError where one is missing."""
    rows = [
        [
            [_small(shot(folder, page, code, width, scheme)) for page in pages for width in widths]
            for scheme in SCHEMES
        ]
        for code in names
    ]
    row_width = sum(picture.width + GAP for picture in rows[0][0]) + (len(pages) - 1) * MARGIN
    label = 34
    height = MARGIN + len(names) * (label + len(SCHEMES) * (HEIGHT + GAP) + MARGIN)
    sheet = Image.new("RGB", (row_width + 2 * MARGIN, height), "#8d9794")
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(FONT, 22)
    y = MARGIN
    for code, language in zip(names, rows, strict=True):
        draw.text((MARGIN, y), code, fill="#101b1c", font=font)
        y += label
        for row in language:
            x = MARGIN
            for place, picture in enumerate(row):
                sheet.paste(picture, (x, y))
                x += picture.width + GAP + (MARGIN if place % len(widths) == len(widths) - 1 else 0)
            y += HEIGHT + GAP
        y += MARGIN
    return sheet.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _small(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        width = round(picture.width * HEIGHT / picture.height)
        return picture.convert("RGB").resize((width, HEIGHT), Image.Resampling.LANCZOS)
