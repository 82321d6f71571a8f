"""Line charts as SVG, with nothing but the standard library."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 380
LEFT, RIGHT, TOP, BOTTOM = 66, 176, 44, 52
# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"]


def _ticks(low, high, log):
    """Where an axis has its marks."""
    if log:
        return [10.0**e for e in range(math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9) + 1)]
    step = 10 ** math.floor(math.log10((high - low) / 4))
    for factor in (1, 2, 2.5, 5, 10):
        if (high - low) / (step * factor) <= 6:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


class Axis:
    def __init__(self, label, values, span, log=False, low=None, high=None, suffix=""):
        self.label, self.log, self.suffix = label, log, suffix
        self.low = min(values) if low is None else low
        self.high = max(values) if high is None else high
        if not log and high is None:
            self.high += (self.high - self.low) * 0.03 or 1
        self.marks = _ticks(self.low, self.high, log)
        if log:
            self.low, self.high = min(self.low, self.marks[0]), max(self.high, self.marks[-1])
        self._from, self._to = span

    def at(self, value):
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(value)
        return self._from + (value - low) / (high - low) * (self._to - self._from)


def chart(path, title, x, y, lines, marks=(), dots=True):
    """Draws `lines`, a dict of name: [(x, y), …]; `x`, `y` say what the axes are; `marks` are (x, text)."""
    xs = [p[0] for points in lines.values() for p in points]
    ys = [p[1] for points in lines.values() for p in points]
    horizontal = Axis(values=xs, span=(LEFT, WIDTH - RIGHT), **x)
    vertical = Axis(values=ys, span=(HEIGHT - BOTTOM, TOP), **y)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for value in vertical.marks:
        at = vertical.at(value)
        out.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:g}{vertical.suffix}</text>')
    for value in horizontal.marks:
        at = horizontal.at(value)
        out.append(f'<path d="M{at:.1f} {HEIGHT - BOTTOM}v5" stroke="#888"/>')
        out.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{value:g}{horizontal.suffix}</text>')
    out.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#888"/>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(horizontal.label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    out.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{escape(vertical.label)}</text>')
    for value, text in marks:
        at = horizontal.at(value)
        out.append(f'<path d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#888" stroke-dasharray="3 3"/>')
        out.append(f'<text x="{at + 3:.1f}" y="{TOP - 4}" font-size="11" fill="#555">{escape(text)}</text>')
    for n, (name, points) in enumerate(lines.items()):
        colour = COLOURS[n % len(COLOURS)]
        path_data = "M" + "L".join(f"{horizontal.at(a):.1f} {vertical.at(b):.1f}" for a, b in points)
        out.append(f'<path d="{path_data}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if dots:
            out += [f'<circle cx="{horizontal.at(a):.1f}" cy="{vertical.at(b):.1f}" r="3" fill="{colour}"/>'
                    for a, b in points]
        row = TOP + 8 + n * 20
        out.append(f'<path d="M{WIDTH - RIGHT + 14} {row}h18" stroke="{colour}" stroke-width="3"/>')
        out.append(f'<text x="{WIDTH - RIGHT + 38}" y="{row + 4}">{escape(name)}</text>')
    out.append("</svg>")
    path.write_text("\n".join(out) + "\n")
