"""The codec of wire.md read from bytes, elements of Z1, and the openings of E4 and J4."""

import types

from zk.field import P
from zk.refusal import Refused, require


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(len(self.data) - self.at >= count, "wire.truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size, signed=False):
        return int.from_bytes(self.take(size), "little", signed=signed)

    def u8(self):
        return self.number(1)

    def u32(self):
        return self.number(4)

    def listed(self, item, limit):
        count = self.u32()
        require(count <= limit, "wire.too_long")
        require(count <= len(self.data) - self.at, "wire.truncated")
        return [item() for _ in range(count)]

    def words(self, limit):
        return self.listed(self.u32, limit)

    def flag(self):
        value = self.u8()
        require(value < 2, "wire.bad_tag")
        return value == 1

    def end(self):
        require(self.at == len(self.data), "wire.trailing")

    # ---- elements -------------------------------------------------------------------------------------------------

    def base(self):
        value = self.number(8)
        require(value < P, "wire.invalid")
        return value

    def element(self):
        return (self.base(), self.base(), self.base())

    def elements(self, count):
        return [self.element() for _ in range(count)]

    def pairs(self, count):
        return [self.elements(2) for _ in range(count)]

    def triples(self, count):
        return [self.elements(3) for _ in range(count)]

    def tree(self, variables):
        """E2: the root, then for each layer its rounds and its four ends."""
        root = self.elements(2)
        return types.SimpleNamespace(
            root=root, layers=[(self.pairs(layer), self.elements(4)) for layer in range(variables)]
        )

    # ---- E4 -------------------------------------------------------------------------------------------------------

    def opened(self, phase, extension, widths=None):
        """A query phase; a row is a list of the rows of each part, which have these widths."""
        work = self.base()
        item, widths = self.element if extension else self.base, widths or [1 << phase.fold]
        rows = [[[item() for _ in range(width)] for width in widths] for _ in range(phase.rows)]
        count = self.u32()
        require(count <= phase.rows * phase.depth * len(widths), "wire.too_long")
        siblings = [self.take(32) for _ in range(count)]
        return types.SimpleNamespace(work=work, rows=rows, siblings=siblings)

    def fold(self, rounds, work):
        return self.pairs(rounds), [self.base() for _ in range(rounds if work else 0)]

    def opening(self, whir, widths=None):
        """E4; with the cells of a row that weights and witness have, J4."""
        folds = whir.schedule.folds
        out = types.SimpleNamespace(samples=self.elements(whir.samples), phases=[])
        out.rounds, out.work = self.fold(folds[0], whir.initial_work)
        for i, phase in enumerate(whir.phases[:-1]):
            part = types.SimpleNamespace(root=self.take(32), samples=self.elements(phase.samples))
            part.opened = self.opened(phase, i > 0, None if i else widths)
            part.rounds, part.work = self.fold(folds[i + 1], phase.folding_work)
            out.phases.append(part)
        out.final = self.elements(1 << whir.final_rounds)
        extension = len(whir.phases) > 1
        out.opened = self.opened(whir.phases[-1], extension, None if extension else widths)
        out.last, out.last_work = self.fold(whir.final_rounds, 0)
        return out


def whole(data, read, code=None):
    """What `read` makes of all of the bytes; refusals of the codec become `code`."""
    reader = Reader(data)
    try:
        value = read(reader)
        reader.end()
        return value
    except Refused as refusal:
        if code is None or not refusal.code.startswith("wire."):
            raise
        raise Refused(code, str(refusal)) from None
