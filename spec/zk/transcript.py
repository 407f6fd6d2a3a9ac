"""Z5 and Z6 of zk.md: the transcript, and the seeds that p3-challenger 0.8.0 absorbs before each part of WHIR."""

from blake3 import blake3

from zk.field import P
from zk.keccak import keccak256


def derive_key(purpose, data):
    return blake3(data, derive_key_context=purpose).digest()


def element_bytes(a):
    return b"".join(x.to_bytes(8, "little") for x in a)


class Transcript:
    def __init__(self, purpose, statement):
        self.buffer = derive_key(purpose, statement)
        self.drawn = b""

    def absorb_bytes(self, data):
        self.buffer += data
        self.drawn = b""

    def absorb(self, *elements):
        for a in elements:
            self.absorb_bytes(element_bytes(a))

    def absorb_string(self, data):
        """The length, then each 7 bytes little-endian, all as elements of F."""
        numbers = [len(data)] + [int.from_bytes(data[i : i + 7], "little") for i in range(0, len(data), 7)]
        self.absorb_bytes(b"".join(n.to_bytes(8, "little") for n in numbers))

    def step(self, label):
        self.absorb_string(label.encode())

    def byte(self):
        if not self.drawn:
            self.buffer = self.drawn = blake3(self.buffer).digest()
        self.drawn, out = self.drawn[:-1], self.drawn[-1]
        return out

    def word(self):
        return int.from_bytes(bytes(self.byte() for _ in range(8)), "little")

    def coefficient(self):
        while (value := self.word()) >= P:
            pass
        return value

    def draw(self):
        return (self.coefficient(), self.coefficient(), self.coefficient())

    def draws(self, count):
        return [self.draw() for _ in range(count)]

    def bits(self, count):
        return self.word() & ((1 << count) - 1)

    def work(self, bits, witness):
        """Whether a witness of work shows `bits` zero bits; p3-challenger draws a byte before it absorbs the witness."""
        if bits == 0:
            return True
        self.byte()
        self.absorb_bytes(witness.to_bytes(8, "little"))
        return self.bits(bits) == 0


# ---- seeds of p3-challenger::fs ------------------------------------------------------------------------------------

SCALAR = keccak256(b"p3-scalar-basis-v1").hex()
CUBIC = keccak256(b"p3-power-basis-v1:X^3-X-1").hex()
IN_F, IN_E = f"Algebra({P}^1;{SCALAR})", f"Algebra({P}^3;{CUBIC})"


def interaction(kind, label, length, tag, hierarchy="Atomic"):
    return f"{hierarchy} {kind} {len(label)} {label} {length} {tag}"


def message(label, count=None):
    return interaction("Message", label, "Scalar" if count is None else f"Fixed({count})", IN_E)


def challenge(label):
    return interaction("Challenge", label, "Scalar", IN_E)


def work(label, bits):
    return [interaction("Pow", label, f"Fixed({bits})", IN_F)] if bits else []


def indices(label, width, draws):
    return [interaction("Challenge", label, f"Fixed({draws})", f"UniformBits({width})")] if draws else []


def delegation(label):
    return [interaction("Protocol", label, "None", "Marker", hierarchy) for hierarchy in ("Begin", "End")]


def fingerprint(pattern):
    width = len(str(max(len(pattern) - 1, 0)))
    lines, depth = [f"Plonky3 Fiat-Shamir Transcript ({len(pattern)} interactions)"], 0
    for position, line in enumerate(pattern):
        depth -= line.startswith("End")
        lines.append(f"{position:0{width}} " + "  " * depth + line)
        depth += line.startswith("Begin")
    return keccak256("".join(line + "\n" for line in lines).encode())


def seed(transcript, version, name, pattern, instance):
    """Absorbs the seed of one part; `instance` is a list of byte strings and of numbers, which are 8 bytes big-endian."""
    chunks = [c if isinstance(c, bytes) else c.to_bytes(8, "big") for c in instance]
    label = b"".join(len(c).to_bytes(4, "big") + c for c in chunks)
    protocol = bytes([version]) + name + bytes(62 - len(name)) + bytes([len(name)])
    transcript.absorb_string(protocol + fingerprint(pattern) + len(label).to_bytes(4, "big") + label + b"\x80")
