"""The report as a PDF file for the printer and the archive: A4, fonts inside, the same content as the web page.

fpdf2 writes it, which is plain Python and needs no browser; the fonts are those that come with matplotlib.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .anatomy import RESEARCH_ONLY
from .errors import MissingDependency
from .report_content import CONFIDENCE_MEANS, NO_DIAGNOSIS, ReportContent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FONT = "DejaVu"
_STYLES = {"": "DejaVuSans.ttf", "B": "DejaVuSans-Bold.ttf", "I": "DejaVuSans-Oblique.ttf"}
_MARGIN, _WIDTH = 15, 180  # mm, of an A4 page
_INK, _SOFT, _LINE = (28, 34, 48), (91, 100, 117), (205, 210, 219)
_WARN_PAPER, _WARN_LINE = (255, 246, 224), (230, 196, 106)
_VERDICT_INK = {"suspected": (181, 50, 43), "uncertain": (143, 97, 9), "not suspected": (43, 115, 83)}
_SYMBOLS = "–—…·•−×±°²’“”■▲▽✓"
_CAPTION = 9.5  # mm, of a figure: two lines
_CHART_DPI = 200
_MOST_ROWS = 300  # of the per-frame table, as on the web page


def render_pdf(content: ReportContent) -> bytes:
    """The report as the bytes of a PDF file; raises MissingDependency without fpdf2."""
    from . import charts

    page = _paper(content)
    _heading(page, content)
    _section(page, "What was read")
    _pairs(page, content.facts)
    _section(page, "Model")
    bundle = content.bundle
    notice = f" ({bundle.notice})" if bundle.notice else ""
    _pairs(page, (("Name", bundle.name + notice), ("Version", bundle.version), ("SHA-256", bundle.sha256)))
    if content.notes:
        _section(page, "Please note")
        for note in content.notes:
            _paragraph(page, f"•  {note}")
    _section(page, "View")
    _paragraph(
        page,
        f"{content.view.title}, {content.view_source}. It decides which structures and conditions can be shown at all.",
    )
    _table(
        page,
        ("View", "Model's probability"),
        [
            ([f"{title}{'  ✓' * chosen}", "not estimated" if p is None else f"{p:.2f}"], "B" if chosen else "")
            for title, p, chosen in content.views
        ],
        (60, 40),
    )
    _section(page, "Segmentation", room=75)
    _picture(page, content.montage, "Frames of the clip with the segmented structures in colour")
    _conditions(page, content)
    _structures(page, content)
    _measurements(page, content)
    if content.is_clip:
        _section(page, "Confidence", room=50)
        _chart(page, charts.confidence_chart(content.frames), "Confidence of each frame over time", _CAPTION)
        _soft(page, CONFIDENCE_MEANS)
    _frames(page, content)
    _soft(page, " · ".join(f"{name} {version}" for name, version in content.versions))
    return bytes(page.output())


def require_pdf_writer() -> None:
    """MissingDependency when fpdf2 is not installed: to be known before minutes of work."""
    try:
        import fpdf  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "Writing a PDF report needs the package fpdf2: install it with pip install fpdf2, or choose HTML."
        ) from None


def _paper(content: ReportContent) -> Any:
    """An empty document whose every page says what it is not, and which model it is from."""
    require_pdf_writer()
    from fpdf import FPDF

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    bundle = content.bundle
    footer = f"{RESEARCH_ONLY} Model {bundle}{f': {bundle.notice}' if bundle.notice else ''}"

    class Paper(FPDF):
        def footer(self) -> None:
            self.set_y(-17)
            self.set_draw_color(*_LINE)
            self.line(_MARGIN, self.y, _MARGIN + _WIDTH, self.y)
            self.set_y(-16)
            self.set_font(_FONT, "", 6.5)
            self.set_text_color(*_SOFT)
            top = self.y
            self.multi_cell(_WIDTH - 30, 3.1, footer, align="L")
            self.set_xy(_MARGIN + _WIDTH - 30, top)
            self.cell(30, 3.1, f"Page {self.page_no()} of {{nb}}", align="R")

    page = Paper(format="A4")
    page.set_margins(_MARGIN, 14)
    page.set_auto_page_break(True, margin=20)
    _add_fonts(page, content)
    page.set_title(f"FetalEcho report: {content.title}")
    page.set_subject(RESEARCH_ONLY)
    page.set_creator(" ".join(content.versions[0]))
    page.set_lang("en")
    page.set_creation_date(datetime.strptime(content.when, "%Y-%m-%d %H:%M UTC").replace(tzinfo=UTC))
    page.set_image_filter("AUTO")
    page.add_page()
    return page


def _add_fonts(page: Any, content: ReportContent) -> None:
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    written = _characters(content)
    for style, file in _STYLES.items():
        # Only what is written: reading the widths of all 6000 characters takes seconds.
        page.add_font(_FONT, style, folder / file, unicode_range=sorted(written))
    page.set_font(_FONT, "", 9)
    missing = written - set(page.current_font.cmap)
    if missing and (other := _font_with(missing)):
        page.add_font("Other", "", other, unicode_range=sorted(missing))
        page.set_fallback_fonts(["Other"], exact_match=False)


def _characters(content: ReportContent) -> set[int]:
    """Code points that the report may need."""
    texts = [content.title, *content.notes, *(text for fact in content.facts for text in fact)]
    texts += [str(content.bundle), content.bundle.version, content.bundle.notice, content.animation_text]
    texts += [text for row in content.measures.rows for text in (row.title, row.text, row.reference, *row.flags)]
    texts += [row.condition.title + row.verdict for row in content.conditions.rows]
    texts += [content.frames.unit, _SYMBOLS]
    return set(range(0x20, 0x17F)) | {ord(character) for text in texts for character in text if character.isprintable()}


def _font_with(characters: set[int]) -> Path | None:
    """An installed font that has most of ``characters`` (a file name may be in any script), None when none has any."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    best: tuple[int, Path | None] = (0, None)
    for entry in font_manager.fontManager.ttflist:
        if Path(entry.fname).suffix.lower() not in (".ttf", ".otf") or entry.style != "normal":
            continue
        try:
            found = len(characters & set(FT2Font(entry.fname).get_charmap()))
        except (OSError, RuntimeError):  # a font that was removed, or that FreeType cannot read
            continue
        if found > best[0]:
            best = (found, Path(entry.fname))
    return best[1]


def _heading(page: Any, content: ReportContent) -> None:
    _style(page, "B", 7.5, (45, 95, 143))
    page.cell(0, 4, "FETAL HEART ULTRASOUND · SEGMENTATION REPORT", new_x="LMARGIN", new_y="NEXT")
    _style(page, "B", 15)
    page.multi_cell(0, 7.5, content.title, align="L", new_x="LMARGIN", new_y="NEXT", wrapmode="CHAR")
    _soft(page, f"{content.view.title} · written {content.when}")
    page.ln(1.5)
    _style(page, "B", 8.5, (107, 74, 0))
    page.set_fill_color(*_WARN_PAPER)
    page.set_draw_color(*_WARN_LINE)
    bundle = content.bundle
    text = RESEARCH_ONLY + (f"\nModel {bundle.name}: {bundle.notice}" if bundle.notice else "")
    page.multi_cell(0, 5, text, border=1, fill=True, align="L", padding=1.5, new_x="LMARGIN", new_y="NEXT")
    page.set_fill_color(255)  # tables would go on in this colour


def _conditions(page: Any, content: ReportContent) -> None:
    from . import charts

    _section(page, "Conditions", room=70)
    notice = f" {content.bundle.notice}" if content.bundle.notice else ""
    _paragraph(page, f"{RESEARCH_ONLY} Inside the abstain band nothing is claimed.{notice}")
    _chart(page, charts.condition_chart(content.conditions), "Probability of each condition with its abstain band")
    rows: list[tuple[Sequence[Any], str]] = []
    for row in content.conditions.rows:
        limits = row.threshold
        numbers = ("", "", "")
        if not np.isnan(row.probability):
            numbers = (f"{row.probability:.2f}", f"{limits.threshold:.2f}", f"{limits.low:.2f} – {limits.high:.2f}")
        rows.append(([row.condition.title, *numbers, (row.verdict, _VERDICT_INK.get(row.verdict, _SOFT))], ""))
    _table(
        page, ("Condition", "Probability", "Threshold", "Abstain band", "Verdict"), rows, (70, 23, 22, 27, 38), "LRRRL"
    )


def _structures(page: Any, content: ReportContent) -> None:
    from . import charts

    unit = content.frames.unit
    _section(page, "Structures", room=40)
    if not content.structures:
        _paragraph(page, "No structure was found.")
        return
    digits = 0 if unit == "px" else 1
    _table(
        page,
        ("", "Structure", "Frames", f"Smallest area ({unit})", "Mean", "Largest"),
        [
            (
                [
                    ("■", row.structure.info.color),
                    row.structure.info.title,
                    str(row.seen),
                    *(f"{area:.{digits}f}" for area in (row.smallest, row.mean, row.largest)),
                ],
                "",
            )
            for row in content.structures
        ],
        (6, 64, 20, 40, 25, 25),
        "LLRRRR",
    )
    if content.has_rings:
        _soft(page, "Whole heart and thorax count with everything inside them.")
    if unit == "px":
        _soft(page, "Areas are in pixels because the file gives no usable calibration.")
    if content.is_clip:
        _chart(
            page,
            charts.area_chart(content.frames, content.measures.beats),
            "Area of each structure over time",
            _CAPTION,
        )
        marks = "; ▲ end-diastole, ▽ end-systole" if content.measures.beats else ""
        _soft(page, f"Areas over time{marks}.")


def _measurements(page: Any, content: ReportContent) -> None:
    """The table of measures; what qualifies a value stands below it once, however many rows it concerns."""
    _section(page, "Measurements", room=40)
    _paragraph(page, NO_DIAGNOSIS)
    remarks: dict[str, int] = {}
    rows: list[tuple[Sequence[Any], str]] = []
    for row in content.measures.rows:
        if row.value is None:
            rows.append(([row.title, (row.text, _SOFT)], "span"))
            continue
        numbers = [str(remarks.setdefault(flag, len(remarks) + 1)) for flag in row.flags]
        text = row.text + (f" [{', '.join(numbers)}]" if numbers else "")
        if row.is_outside:
            text += f"\n{row.side} normal range"
        frame = "" if row.frame is None else str(row.frame)
        rows.append(
            (
                [row.title, text, row.range_text, row.z_text, frame, (row.reference, _SOFT)],
                "B" if row.is_outside else "",
            )
        )
    _table(
        page, ("Measure", "Value", "Normal range", "z", "Frame", "Reference"), rows, (52, 38, 25, 11, 13, 41), "LLLRRL"
    )
    for remark, number in remarks.items():
        _soft(page, f"[{number}] {remark}")


def _frames(page: Any, content: ReportContent) -> None:
    frames = content.frames
    total, shown = len(frames.frames), content.frame_rows(_MOST_ROWS)
    _section(page, f"Frames: areas ({frames.unit}) and confidence", room=40)
    areas = list(frames.areas)
    width = (_WIDTH - 48) / max(1, len(areas))
    _table(
        page,
        ("Frame", "Time (s)", "Confidence", *(s.info.short for s in areas)),
        [([str(number), seconds, confidence, *values], "") for number, seconds, confidence, values in shown],
        (13, 16, 19, *[width] * len(areas)),
        "R" * (3 + len(areas)),
        size=6.5,
    )
    if len(shown) < total:
        _soft(page, f"The first {len(shown)} of {total} frames; the file frames.csv holds all.")


# Pieces of a page


def _style(page: Any, emphasis: str = "", size: float = 8.5, color: tuple[int, int, int] = _INK) -> None:
    page.set_font(_FONT, emphasis, size)
    page.set_text_color(*color)


def _section(page: Any, title: str, room: float = 30) -> None:
    """A heading, on the next page unless ``room`` mm are left for what follows."""
    if page.will_page_break(room):
        page.add_page()
    page.ln(4)
    _style(page, "B", 10.5)
    page.start_section(title)
    page.cell(0, 5.5, title, new_x="LMARGIN", new_y="NEXT")
    page.set_draw_color(*_LINE)
    page.line(_MARGIN, page.y, _MARGIN + _WIDTH, page.y)
    page.ln(1.5)


def _paragraph(page: Any, text: str) -> None:
    _style(page)
    page.multi_cell(0, 4.4, text, align="L", new_x="LMARGIN", new_y="NEXT")
    page.ln(0.8)


def _soft(page: Any, text: str) -> None:
    _style(page, size=7.5, color=_SOFT)
    page.multi_cell(0, 3.9, text, align="L", new_x="LMARGIN", new_y="NEXT")


def _pairs(page: Any, pairs: Iterable[tuple[str, str]]) -> None:
    for name, value in pairs:
        if page.will_page_break(5):
            page.add_page()
        _style(page, color=_SOFT)
        page.cell(32, 4.6, name)
        _style(page)
        page.multi_cell(_WIDTH - 32, 4.6, value, align="L", new_x="LMARGIN", new_y="NEXT", wrapmode="WORD")


def _table(
    page: Any,
    headings: Sequence[str],
    rows: Sequence[tuple[Sequence[Any], str]],
    widths: Sequence[float],
    align: str = "",
    size: float = 7.5,
) -> None:
    """A table with thin lines, its headings again on every page.

    rows    (cells, emphasis); a cell is a text or (text, colour); emphasis "B", or "span" when the last cell fills
            the row
    align   a letter a column, L or R
    """
    from fpdf.enums import TableBordersLayout
    from fpdf.fonts import FontFace

    _style(page, size=size)
    page.set_draw_color(*_LINE)
    with page.table(
        col_widths=tuple(widths),
        width=min(sum(widths), _WIDTH),
        align="L",
        text_align=tuple({"L": "LEFT", "R": "RIGHT"}[letter] for letter in align or "L" * len(headings)),
        borders_layout=TableBordersLayout.HORIZONTAL_LINES,
        headings_style=FontFace(emphasis="BOLD", color=_SOFT),
        line_height=size * 0.5,
        padding=(0.6, 1, 0.6, 0),
        v_align="TOP",
    ) as table:
        table.row(headings)
        for cells, emphasis in rows:
            row = table.row()
            for number, cell in enumerate(cells):
                text, color = cell if isinstance(cell, tuple) else (cell, None)
                last = emphasis == "span" and number == len(cells) - 1
                row.cell(
                    text,
                    colspan=len(headings) - number if last else 1,
                    align="L" if last else None,
                    style=FontFace(emphasis="BOLD" if emphasis == "B" else "ITALICS" if last else None, color=color),
                )
    page.ln(1)


def _picture(page: Any, pixels: np.ndarray, description: str) -> None:
    from PIL import Image

    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "JPEG", quality=88)
    _place(page, data, pixels.shape[1] / pixels.shape[0], description)


def _chart(page: Any, figure: Figure, description: str, room: float = 0) -> None:
    """A chart, with ``room`` mm left below it for the line that explains it."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=_CHART_DPI, facecolor="white")
    width, height = figure.get_size_inches()
    _place(page, data, float(width / height), description, room)


def _place(page: Any, data: io.BytesIO, proportion: float, description: str, room: float = 0) -> None:
    """A picture over the width of the page; smaller when that saves a half-empty page, or is needed to fit one."""
    left = page.h - page.b_margin - page.y - 2 - room
    if left < 0.7 * _WIDTH / proportion:
        if left < 0.85 * page.eph:
            page.add_page()
        left = page.h - page.b_margin - page.y - 2 - room
    width = min(_WIDTH, left * proportion)
    page.image(data, x=_MARGIN, w=width, alt_text=description)
    page.ln(1.5)
