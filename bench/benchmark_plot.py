"""The plot docs/benchmarks.svg: prove time and proof size against parameters, both on logarithmic axes."""

import math
from dataclasses import dataclass
from html import escape

from benchmark_page import Results, duration, ended, limit, size

WIDTH, LEFT, RIGHT = 800, 70, 34
TOPS, HEIGHT = (150, 420), 210
BOTTOM = 692
NAMES = {
    "digits": "MLP 64-32-10",
    "digits-cnn": "CNN 8x8",
    "lenet": "LeNet-5",
    "cnn32": "CNN 32x32x3",
    "mlp": "MLP 784-512-512-10",
    "dense": "MLP of 4M",
}
STYLE = """
    .surface { fill: #ffffff; } .ink { fill: #1f2328; } .soft { fill: #59636e; }
    .grid { stroke: #d8dee4; } .guide { stroke: #afb8c1; stroke-dasharray: 2 4; }
    .ours { fill: #0b62d6; stroke: #0b62d6; } .batch { fill: #ffffff; stroke: #0b62d6; }
    .theirs { fill: #b35900; stroke: #b35900; }
    .ours-ink { fill: #0b62d6; } .theirs-ink { fill: #8f4700; }
    @media (prefers-color-scheme: dark) {
      .surface { fill: #0d1117; } .ink { fill: #e6edf3; } .soft { fill: #9198a1; }
      .grid { stroke: #2a313a; } .guide { stroke: #4a535e; }
      .ours { fill: #6cb0ff; stroke: #6cb0ff; } .batch { fill: #0d1117; stroke: #6cb0ff; }
      .theirs { fill: #f0a04b; stroke: #f0a04b; }
      .ours-ink { fill: #6cb0ff; } .theirs-ink { fill: #f0a04b; }
    }
    text { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 12px; }
    .title { font-size: 14px; font-weight: 600; } .label { font-size: 11px; }
"""


@dataclass
class Point:
    """One mark: `kind` is ours, batch, theirs or ended; `value` is None for ended."""

    kind: str
    x: float
    value: float | None
    label: str


@dataclass
class Box:
    """A rectangle that holds a label or a mark."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other):
        return (self.x < other.x + other.width and other.x < self.x + self.width
                and self.y < other.y + other.height and other.y < self.y + self.height)


@dataclass
class Axis:
    """A logarithmic axis from `low` to `high` (powers of ten) over pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def decades(self):
        return range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)


def plot(raw):
    results = Results(raw)
    x = parameters_axis(results)
    panels = [
        ("Prove time", times(results), (("ms", 0), ("s", 3))),
        ("Proof size", proof_sizes(results), (("bytes", 0), ("KB", 3), ("MB", 6))),
    ]
    parts = [head(results), f'<rect class="surface" width="{WIDTH}" height="{BOTTOM}" rx="6"/>']
    parts += legend(any(point.kind == "ended" for point in panels[0][1]))
    parts += names(results, x)
    for (title, points, units), top in zip(panels, TOPS):
        parts += panel(title, points, units, x, top)
    parts += parameter_ticks(x)
    return "\n".join(parts) + "\n</svg>\n"


def head(results):
    most = results.most
    said = []
    for row in results.rows:
        text = (f"{row.title}, {row.measured['params']:,} parameters: HACA proves in "
                f"{duration(row.haca('prove_ms', most))}, {size(row.haca('proof_bytes', most))}")
        if row.ezkl and not row.ezkl["ended"]:
            text += f"; EZKL in {duration(row.ezkl['prove_ms'])}, {size(row.ezkl['proof_bytes'])}"
        elif row.ezkl:
            text += f"; EZKL {ended(row.ezkl)}"
        said.append(text)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {BOTTOM}" role="img" '
            f'aria-labelledby="title desc">\n'
            f'<title id="title">Prove time and proof size against parameters, HACA and EZKL</title>\n'
            f'<desc id="desc">{escape(". ".join(said))}.</desc>\n<style>{STYLE}</style>')


def parameters_axis(results):
    found = [row.measured["params"] for row in results.rows]
    low, high = math.log10(min(found)) - 0.25, math.log10(max(found)) + 0.25
    return Axis(low, high, LEFT, WIDTH - RIGHT)


def times(results):
    """Times of both systems, and a mark where EZKL made no proof."""
    points = points_of(results, "prove_ms", duration)
    without = [row for row in results.rows if row.ezkl and row.ezkl["ended"]]
    return points + [Point("ended", row.measured["params"], None, reason(row.ezkl)) for row in without]


def reason(peer):
    """Why there is no proof, in two words."""
    if peer["ended"]["stage"] == "srs":
        return f"2^{peer['logrows']} rows"
    reasons = {"memory": f"above {limit(peer)}", "time": f"above {peer['limit_s']:.0f} s"}
    return reasons.get(peer["ended"]["why"], "failed")


def proof_sizes(results):
    return points_of(results, "proof_bytes", size)


def points_of(results, key, label):
    points = []
    for row in results.rows:
        params, value, peer = row.measured["params"], row.haca(key, results.most), row.ezkl
        points.append(Point("ours" if row.batch == 1 else "batch", params, value, label(value)))
        if peer and not peer["ended"]:
            points.append(Point("theirs", params, peer[key], label(peer[key])))
    return points


def text(x, y, words, classes, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, classes):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def mark(kind, x, y):
    if kind == "theirs":
        return f'<rect class="theirs" x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9"/>'
    if kind == "ended":
        return f'<path class="theirs" stroke-width="2.5" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0 -10l-10 10"/>'
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5" stroke-width="2"/>'


def legend(some_ended):
    entries = [("ours", "HACA, one inference"), ("batch", "HACA, 32 inferences in one proof"),
               ("theirs", "EZKL, one inference")]
    if some_ended:
        entries.append(("ended", "EZKL, no proof"))
    parts, x = [], LEFT + 6
    for kind, words in entries:
        parts += [mark(kind, x, 24), text(x + 12, 28, words, "ink", "start")]
        x += 34 + 6.3 * len(words)
    return parts


def names(results, x):
    """Names of the models above, with a guide through both panels."""
    parts, seen = [], set()
    for row in results.rows:
        if row.name in seen:
            continue
        seen.add(row.name)
        at, top = x.at(row.measured["params"]), TOPS[0] - 12
        parts.append(line(at, top, at, TOPS[1] + HEIGHT, "guide"))
        parts.append(text(at + 3, top - 4, NAMES[row.name], "soft", "start",
                          f' transform="rotate(-30 {at + 3:.1f} {top - 4:.1f})"'))
    return parts


def panel(title, points, units, x, top):
    values = [point.value for point in points if point.value]
    # A little room, so that no mark lies on the frame; marks of `ended` stand above all values.
    low, high = math.log10(min(values)) - 0.35, math.log10(max(values)) + 0.35
    if any(point.kind == "ended" for point in points):
        high += 0.08 * (high - low)
    y = Axis(low, high, top + HEIGHT, top)
    parts = [text(16, top + HEIGHT / 2, title, "ink title", "middle",
                  f' transform="rotate(-90 16 {top + HEIGHT / 2:.1f})"')]
    for power in y.decades():
        at = y.at(10.0 ** power)
        parts.append(line(LEFT, at, WIDTH - RIGHT, at, "grid"))
        parts.append(text(LEFT - 6, at + 4, power_of_ten(power, units), "soft", "end"))
    parts.append(line(LEFT, top + HEIGHT, WIDTH - RIGHT, top + HEIGHT, "grid"))
    placed = [(point, x.at(point.x), y.at(point.value) if point.value else top + 8) for point in points]
    parts += [mark(point.kind, at_x, at_y) for point, at_x, at_y in placed]
    return parts + labels(placed, top)


def power_of_ten(power, units):
    """A power of ten in the largest of the units that it holds."""
    name, base = max((unit for unit in units if unit[1] <= power), key=lambda unit: unit[1], default=units[0])
    return f"{10.0 ** (power - base):g} {name}"


def labels(placed, top):
    """A label beside each mark, at the first place around it where nothing else is."""
    taken = [Box(x - 6, y - 6, 12, 12) for _, x, y in placed]
    parts = []
    for point, x, y in placed:
        width = 6.2 * len(point.label) + 4
        places = [
            Box(x - width / 2, y - 21, width, 14), Box(x - width / 2, y + 8, width, 14),
            Box(x + 8, y - 7, width, 14), Box(x - 8 - width, y - 7, width, 14),
            Box(x + 4, y - 22, width, 14), Box(x - 4 - width, y - 22, width, 14),
            Box(x + 4, y + 9, width, 14), Box(x - 4 - width, y + 9, width, 14),
        ]
        fits = [box for box in places if box.x > LEFT and box.x + width < WIDTH - 2 and box.y > top - 6
                and box.y + 14 < top + HEIGHT and not any(box.meets(other) for other in taken)]
        box = (fits or places)[0]
        taken.append(box)
        ink = "theirs-ink" if point.kind in ("theirs", "ended") else "ours-ink"
        parts.append(text(box.x + width / 2, box.y + 11, point.label, f"{ink} label"))
    return parts


def parameter_ticks(x):
    y = TOPS[1] + HEIGHT
    shown = {3: "1,000", 4: "10,000", 5: "100,000", 6: "1 million", 7: "10 million"}
    parts = []
    for power in x.decades():
        at = x.at(10.0 ** power)
        parts += [line(at, y, at, y + 5, "grid"), text(at, y + 20, shown.get(power, f"1e{power}"), "soft")]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, y + 44, "parameters", "ink title"))
    return parts
