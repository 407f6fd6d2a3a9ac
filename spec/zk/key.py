"""E1 and R5 to R7 of zk.md: verifying keys."""

from blake3 import blake3

from zk import manifest
from zk.circuit import Circuit
from zk.field import P
from zk.layout import Registration, Weights, Witness, spans
from zk.refusal import Refused, require
from zk.reader import whole
from zk.schedule import Schedule
from zk.transcript import derive_key

CATALOGUE = bytes([0, 1, 2, 3])


def schedule(r):
    return Schedule(r.listed(r.u8, 8), r.listed(r.u8, 8), r.u8())


def batch_size(r):
    if not r.flag():
        return None
    numbers = [r.u8() for _ in range(4)]
    return (*numbers, r.u8() if r.flag() else None, schedule(r))


def tile_count(circuit, pieces):
    sizes = (circuit.matrix_size(param) for param in circuit.matrices)
    return sum(len(spans(n, pieces)) * len(spans(k, pieces)) for n, k in sizes)


class VerifyingKey:
    def __init__(self, data):
        whole(data, self.read)
        self.model = derive_key("haca v1 zk model id", data)

    def read(self, r):
        require(r.u8() == 3, "wire.bad_tag", "version")
        require(r.take(4) == CATALOGUE, "wire.invalid", "catalogue")
        self.manifest = manifest.manifest(r)
        graph = self.manifest["graph"]
        again = manifest.integer_graph.encode_manifest(self.manifest["name"], graph)
        require(again[:-34] == self.manifest["bytes"][:-34], "wire.invalid", "another form of the graph")
        pieces, weights, registration = r.u8(), schedule(r), schedule(r)
        classes = r.listed(lambda: batch_size(r), 11)
        self.root = r.take(32)
        require(len({parameters is None for parameters in classes}) == 1, "wire.invalid", "batch sizes")
        prefix = r.data[: r.at]
        try:
            self.circuit = Circuit(graph)
            self.answers = r.elements(1 + tile_count(self.circuit, min(pieces, 4)))
            self.lay_out(pieces, weights, registration, classes)
        except Refused as refusal:
            if refusal.code.startswith("wire."):
                raise
            raise Refused("wire.invalid", str(refusal)) from None
        self.point = self.out_of_domain(prefix)

    def lay_out(self, pieces, weights, registration, classes):
        require(1 <= pieces <= 4, "zk.parameter", "pieces")
        self.pieces = pieces
        self.weights = Weights(self.circuit, pieces, weights)
        self.registration = Registration(self.weights, registration)
        self.classes = []
        for batch, parameters in enumerate(classes):
            require((parameters is not None) == self.circuit.has_witness, "zk.parameter", "witness")
            witness = None if parameters is None else Witness(self.circuit, self.weights, parameters, batch)
            self.classes.append(witness)

    def out_of_domain(self, prefix):
        """R5."""
        count, length = 3 * max(self.weights.sizes), 64
        while True:
            stream = blake3(prefix, derive_key_context="haca v1 zk out-of-domain points").digest(length=length)
            words = (int.from_bytes(stream[i : i + 8], "little") for i in range(0, length, 8))
            good = [w for w in words if w < P]
            if len(good) >= count:
                return [tuple(good[i : i + 3]) for i in range(0, count, 3)]
            length *= 2
