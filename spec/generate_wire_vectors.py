"""Writes vectors/wire, the vectors of wire.md.

The codec, the tensor roots and the render come from wire_format.py, which shares no code with crates/haca-wire;
EIP-712 digests and signatures come from eth_account, which knows nothing of HACA. Two runs write the same bytes.

    python3 -m venv VENV && VENV/bin/pip install eth-account==0.14.0 blake3==1.0.11
    VENV/bin/python spec/generate_wire_vectors.py
"""

import json
import pathlib
import random

from eth_account import Account
from eth_account.messages import encode_typed_data

from wire_format import (
    BITS,
    DTYPES,
    EVIDENCE_VERSION,
    MESSAGES,
    PARAMETERS,
    OPTIMISTIC_EVIDENCE,
    SIGNED_EVIDENCE,
    STRUCTS,
    TAG,
    TX_VERSION,
    WIDTH,
    blob,
    content,
    elements,
    inference,
    length,
    listed,
    optional,
    proof_context,
    quantise,
    scale_bytes,
    shape_bytes,
    spec_bytes,
    struct,
    tensor,
    tensor_root,
    typed_data,
    unsigned,
    zk,
)

OUT = pathlib.Path(__file__).parent / "vectors" / "wire"
RNG = random.Random(712)
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def sign(primary, value, domain, key, message=None):
    """The digest and the 65 bytes of the signature, from eth_account; and its own check of them."""
    signable = encode_typed_data(full_message=typed_data(primary, value, domain, message))
    signed = Account.sign_message(signable, key)
    assert Account.recover_message(signable, signature=signed.signature) == Account.from_key(key).address
    return bytes(signed.message_hash), bytes(signed.signature)


# ---- random values -----------------------------------------------------------------------------------------------


def octets(count):
    return RNG.randbytes(count)


def number(kind):
    """Small, large and extreme alike."""
    bits = BITS[kind]
    return RNG.choice([0, 1, 255, (1 << bits) - 1, RNG.getrandbits(bits), RNG.getrandbits(bits // 2)]) % (1 << bits)


def random_struct(name):
    out = {key: number(kind) if kind in BITS else octets(WIDTH[kind]) for key, kind in STRUCTS[name]}
    if "evidence" in out:
        out["evidence"] = RNG.randint(1, 4)
    return out


def random_key():
    return (RNG.getrandbits(256) % (CURVE_ORDER - 1) + 1).to_bytes(32, "big")


def random_domain():
    return {"chainId": number("uint64"), "salt": octets(32)}


def random_tensor():
    dtype = RNG.choice(list(DTYPES))
    shape = [RNG.randint(1, 3) for _ in range(RNG.randint(0, 3))]
    bits = DTYPES[dtype][1]
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    count = elements(shape)
    return {
        "dtype": dtype,
        "shape": shape,
        "data": [RNG.choice([low, high, -1, 0, RNG.randint(low, high)]) for _ in range(count)],
    }


# ---- signed values ------------------------------------------------------------------------------------------------


def separator(domain):
    """The domain separator, taken out of eth_account's header."""
    signable = encode_typed_data(full_message=typed_data("Close", random_close(), domain))
    return bytes(signable.header)


def random_close():
    return {"channel": bytes(32), "expires": 0}


def signed_struct(name, domain, value=None):
    value = value or random_struct(name)
    _, signature = sign(name, value, domain, random_key())
    return value, signature, struct(name, value) + signature


def random_item(domain):
    return signed_struct("Order", domain)[2] + signed_struct("Receipt", domain)[2]


def random_group(domain):
    count = RNG.randint(1, 2)
    items = listed([random_item(domain) for _ in range(count)])
    if RNG.random() < 0.5:
        return items + RNG.choice([SIGNED_EVIDENCE, OPTIMISTIC_EVIDENCE])
    return items + zk(
        [inference([random_tensor()], [random_tensor()]) for _ in range(count)], octets(RNG.randint(0, 50))
    )


def random_proposal():
    """The EIP-712 members of a proposal of each kind in turn, and its encoding."""
    value = {"kind": "", "parameters": [], "version": 0, "height": 0, "cancels": 0}
    value["kind"] = RNG.choice(["parameters", "upgrade", "cancel"])
    if value["kind"] == "parameters":
        chosen = sorted(RNG.sample(range(len(PARAMETERS)), RNG.randint(1, 4)))
        changes = [(index, number("uint128")) for index in chosen]
        value["parameters"] = [{"name": PARAMETERS[index], "value": new} for index, new in changes]
        return value, unsigned(8, 1) + listed([unsigned(8, index + 1) + unsigned(128, new) for index, new in changes])
    if value["kind"] == "upgrade":
        value |= {"version": number("uint64"), "height": number("uint64")}
        return value, unsigned(8, 2) + unsigned(64, value["version"]) + unsigned(64, value["height"])
    value["cancels"] = number("uint64")
    return value, unsigned(8, 3) + unsigned(64, value["cancels"])


def random_message(name, domain):
    """The EIP-712 value of a message and its encoding, tag included."""
    asset, amount, account, channel = number("uint32"), number("uint128"), octets(20), octets(32)
    if name == "Transfer":
        value = {"to": account, "asset": asset, "amount": amount}
        data = account + unsigned(32, asset) + unsigned(128, amount)
    elif name == "RegisterModel":
        key, proof = octets(RNG.randint(0, 60)), octets(RNG.randint(0, 60))
        value = {"verifyingKey": content(key), "proof": content(proof)}
        data = blob(key) + blob(proof)
    elif name == "RegisterNode":
        endpoint = RNG.choice(["", "http://127.0.0.1:8090", "https://knoten.beispiel.de/über/日本"])
        offers = [random_struct("Offer") for _ in range(RNG.randint(0, 3))]
        value = {"endpoint": endpoint, "payout": account, "signer": octets(20), "offers": offers}
        data = blob(endpoint.encode()) + account + value["signer"] + listed([struct("Offer", o) for o in offers])
    elif name in ("Bond", "Unbond"):
        value = {"asset": asset, "amount": amount}
        data = unsigned(32, asset) + unsigned(128, amount)
    elif name == "OpenChannel":
        quote, signature, data = signed_struct("Quote", domain)
        value = {"quote": quote, "signature": signature}
    elif name == "TopUp":
        value = {"channel": channel, "amount": amount}
        data = channel + unsigned(128, amount)
    elif name == "CloseChannel":
        consent = optional(signed_struct("Close", domain)[2] if RNG.random() < 0.5 else None)
        value = {"channel": channel, "consent": content(consent)}
        data = channel + consent
    elif name == "SettleBatch":
        groups = listed([random_group(domain) for _ in range(RNG.randint(1, 3))])
        value = {"groups": content(groups)}
        data = groups
    elif name == "ClaimMissed":
        order, receipt = signed_struct("Order", domain)[2], signed_struct("Receipt", domain)[2]
        value = {"order": content(order), "receipt": content(receipt)}
        data = order + receipt
    elif name == "Stake":
        value = {"key": octets(32), "possession": octets(64), "amount": amount}
        data = value["key"] + value["possession"] + unsigned(128, amount)
    elif name == "Unstake":
        value = {"key": octets(32), "amount": amount}
        data = value["key"] + unsigned(128, amount)
    elif name == "Unjail":
        value = {"key": octets(32)}
        data = value["key"]
    elif name == "Propose":
        value, body = random_proposal()
        value["key"] = octets(32)
        data = value["key"] + body
    elif name == "Vote":
        value = {"key": octets(32), "proposal": number("uint64"), "approve": RNG.random() < 0.5}
        data = value["key"] + unsigned(64, value["proposal"]) + unsigned(8, int(value["approve"]))
    elif name == "Demand":
        path = [octets(32) for _ in range(RNG.randint(0, 4))]
        value = {"channel": channel, "first": number("uint64"), "sequence": number("uint64"), "receipt": octets(32)}
        data = channel + unsigned(64, value["first"]) + unsigned(64, value["sequence"]) + value["receipt"] + listed(path)
        value["path"] = path
    elif name == "Respond":
        receipts = [unsigned(64, number("uint64")) + struct("Receipt", random_struct("Receipt")) for _ in range(2)]
        answers, proof = listed(receipts), octets(RNG.randint(0, 50))
        inferences = listed([inference([random_tensor()], [random_tensor()]) for _ in range(2)])
        value = {"answers": content(answers), "inferences": content(inferences), "proof": content(proof)}
        data = answers + inferences + blob(proof)
    elif name == "SettleVouchers":
        pairs = [signed_struct("Voucher", domain)[2] + signed_struct("ReceiptRoot", domain)[2] for _ in range(2)]
        data = listed(pairs[: RNG.randint(1, 2)])
        value = {"coverages": content(data)}
    elif name == "ClaimFalseLeaf":
        order, receipt = signed_struct("Order", domain)[2], signed_struct("Receipt", domain)[2]
        root, leaf = signed_struct("ReceiptRoot", domain)[2], optional(octets(32) if RNG.random() < 0.5 else None)
        path = [octets(32) for _ in range(RNG.randint(0, 4))]
        value = {"order": content(order), "receipt": content(receipt), "root": content(root), "leaf": content(leaf)}
        value["path"] = path
        data = order + receipt + root + leaf + listed(path)
    else:
        order = signed_struct("Order", domain)[2]
        first, second = signed_struct("Receipt", domain)[2], signed_struct("Receipt", domain)[2]
        value = {"order": content(order), "first": content(first), "second": content(second)}
        data = order + first + second
    return value, unsigned(8, TAG[name]) + data


# ---- files -------------------------------------------------------------------------------------------------------


def plain(value):
    """JSON of a value: bytes as 0x and hexadecimal digits, integers as decimal text (they pass 2^53)."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool) or isinstance(value, str) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value]


def write(name, value):
    path = OUT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def eip712_case(name, primary, value, encoding, domain, message=None):
    key = random_key()
    if primary == "Transaction":
        value["meta"]["sender"] = bytes.fromhex(Account.from_key(key).address[2:])
        encoding = struct("TxMeta", value["meta"]) + encoding
    digest, signature = sign(primary, value, domain, key, message)
    return {
        "name": name,
        "type": primary,
        "typed_data": plain(typed_data(primary, value, domain, message)),
        "encoding": encoding.hex(),
        "separator": plain(separator(domain)),
        "digest": plain(digest),
        "key": plain(key),
        "address": Account.from_key(key).address,
        "signature": plain(signature),
    }


def extreme(name, low):
    out = {}
    for key, kind in STRUCTS[name]:
        if kind in BITS:
            out[key] = 0 if low else (1 << BITS[kind]) - 1
        else:
            out[key] = bytes(WIDTH[kind]) if low else b"\xff" * WIDTH[kind]
    if "evidence" in out:
        out["evidence"] = 1 if low else 4
    return out


def write_eip712():
    cases = []
    for name in ("Quote", "Order", "Receipt", "Close", "Voucher", "ReceiptRoot"):
        values = [extreme(name, True), extreme(name, False)] + [random_struct(name) for _ in range(6)]
        for index, value in enumerate(values):
            cases.append(eip712_case(f"{name} {index}", name, value, struct(name, value), random_domain()))
    for name in MESSAGES:
        for index in range(6):
            domain = random_domain()
            value, data = random_message(name, domain)
            meta = random_struct("TxMeta")
            if index % 2:
                meta["sponsor"] = bytes(20)
            message = {"meta": meta, "message": value}
            cases.append(eip712_case(f"{name} {index}", "Transaction", message, data, domain, name))
    write("eip712.json", cases)


def write_hashes():
    scalar = {"dtype": "int8", "shape": [], "data": [-128]}
    lists = [[], [scalar], [scalar, scalar], [{"dtype": "int8", "shape": [1], "data": [-128]}]]
    # The same 16 bytes of data under every element type and two shapes: other roots.
    for dtype, (_, bits) in DTYPES.items():
        count = 128 // bits
        lists += [[{"dtype": dtype, "shape": shape, "data": [0] * count}] for shape in ([count], [1, count])]
    lists += [[random_tensor() for _ in range(RNG.randint(1, 4))] for _ in range(12)]
    roots = [{"tensors": tensors, "root": plain(tensor_root(tensors))} for tensors in lists]
    contexts = []
    for count in (0, 1, 2, 5, 64):
        domain, receipts = random_domain(), [octets(32) for _ in range(count)]
        contexts.append({
            "chain_id": str(domain["chainId"]), "genesis": plain(domain["salt"]), "receipts": plain(receipts),
            "separator": plain(separator(domain)), "context": plain(proof_context(separator(domain), receipts)),
        })  # fmt: skip
    bodies = [b"", b"{}", octets(1), octets(1024), octets(5000)]
    contents = [{"bytes": data.hex(), "hash": plain(content(data))} for data in bodies]
    assert len({root["root"] for root in roots}) == len(roots)
    write("hashes.json", {"tensor_roots": roots, "proof_contexts": contexts, "contents": contents})


def accepted(kind, pairs):
    return [{"name": name, "type": kind, "hex": data.hex()} for name, data in pairs]


def refused(kind, rows):
    return [{"name": name, "type": kind, "hex": data.hex(), "code": "wire." + code} for name, data, code in rows]


def write_tensors():
    ramp = {"dtype": "int16", "shape": [2, 3], "data": [-32768, -1, 0, 1, 256, 32767]}
    one = tensor({"dtype": "int8", "shape": [2], "data": [-1, 1]})
    good = [
        ("scalar", tensor({"dtype": "int64", "shape": [], "data": [-(2**63)]})),
        ("int8", one),
        ("ramp", tensor(ramp)),
    ]
    good += [("rank 8", tensor({"dtype": "int8", "shape": [1] * 8, "data": [5]}))]
    good += [(f"random {i}", tensor(random_tensor())) for i in range(8)]
    write("accept/tensor.json", accepted("Tensor", good))
    head = unsigned(8, 1)
    write("reject/tensor.json", refused("Tensor", [
        ("empty", b"", "truncated"),
        ("element type 0", b"\x00" + one[1:], "bad_tag"),
        ("element type 5", b"\x05" + one[1:], "bad_tag"),
        ("shape cut", one[:3], "truncated"),
        ("data cut", one[:-1], "truncated"),
        ("one byte more", one + b"\x00", "trailing"),
        ("rank 9", head + shape_bytes([1] * 9) + b"\x00", "too_long"),
        ("rank 2^32 - 1", head + b"\xff" * 4, "too_long"),
        ("empty axis", head + shape_bytes([2, 0]), "invalid"),
        ("2^22 + 2^11 elements", head + shape_bytes([1 << 11, (1 << 11) + 1]), "invalid"),
        ("2^64 elements", head + shape_bytes([1 << 16] * 4), "invalid"),
        ("(2^32 - 1)^8 elements", head + shape_bytes([(1 << 32) - 1] * 8), "invalid"),
        ("2^22 elements announced", head + shape_bytes([1 << 22]) + b"\x00" * 9, "truncated"),
        ("two of four bytes", unsigned(8, 3) + shape_bytes([1]) + b"\x01\x02", "truncated"),
    ]))  # fmt: skip


def write_scales():
    good = [
        (f"{m} / 2^{s}", scale_bytes(m, s))
        for m, s in [(1, 0), (2, 0), (4294967295, 62), (1, 62), (3, 7), (4294967294, 0)]
    ]
    spec = {"name": "image", "dtype": "int8", "shape": [8, 8], "mantissa": 1, "shift": 4}
    write("accept/scale.json", accepted("Scale", good) + accepted("TensorSpec", [("spec", spec_bytes(spec))]))
    rest = spec_bytes(spec)[9:]
    write("reject/scale.json", refused("Scale", [
        ("mantissa 0", scale_bytes(0, 0), "invalid"),
        ("mantissa 0, shift 3", scale_bytes(0, 3), "invalid"),
        ("2 / 2^1", scale_bytes(2, 1), "invalid"),
        ("4294967294 / 2^62", scale_bytes(4294967294, 62), "invalid"),
        ("shift 63", scale_bytes(1, 63), "invalid"),
        ("shift 255", scale_bytes(1, 255), "invalid"),
        ("cut", scale_bytes(1, 0)[:4], "truncated"),
        ("one byte more", scale_bytes(1, 0) + b"\x00", "trailing"),
    ]) + refused("TensorSpec", [
        ("empty name", length(0) + rest, "invalid"),
        ("name of 65 bytes", blob(b"a" * 65) + rest, "too_long"),
        ("name with a space", blob(b"a b") + rest, "invalid"),
        ("name with a quote", blob(b'a"b') + rest, "invalid"),
        ("name with a backslash", blob(b"a\\b") + rest, "invalid"),
        ("name with a control byte", blob(b"a\x00b") + rest, "invalid"),
        ("name outside ASCII", blob("é".encode()) + rest, "invalid"),
        ("name that is not UTF-8", blob(b"\xc3\x28") + rest, "invalid"),
    ]))  # fmt: skip


def signature_parts(r, s, v):
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


def write_signatures():
    domain = random_domain()
    _, signature, _ = signed_struct("Close", domain)
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    half = (CURVE_ORDER - 1) // 2
    good = [
        ("signed", signature),
        ("largest s", signature_parts(r, half, v)),
        ("smallest", signature_parts(1, 1, 27)),
    ]
    good += [("largest r", signature_parts(CURVE_ORDER - 1, 1, 28)), ("other parity", signature_parts(r, s, 55 - v))]
    write("accept/signature.json", accepted("Signature", good))
    rows = [
        ("high s", signature_parts(r, CURVE_ORDER - s, 55 - v)),
        ("high s, same v", signature_parts(r, CURVE_ORDER - s, v)),
    ]
    rows += [
        ("smallest high s", signature_parts(r, half + 1, v)),
        ("r 0", signature_parts(0, s, v)),
        ("s 0", signature_parts(r, 0, v)),
    ]
    rows += [("r the order", signature_parts(CURVE_ORDER, s, v)), ("s the order", signature_parts(r, CURVE_ORDER, v))]
    rows += [("r 2^256 - 1", signature_parts((1 << 256) - 1, s, v))]
    rows += [(f"v {other}", signature_parts(r, s, other)) for other in (0, 1, 26, 29, 35, 255)]
    cut = refused("Signature", [("cut", signature[:64], "truncated"), ("EIP-2098 form", signature[:64], "truncated"),
                                ("one byte more", signature + b"\x00", "trailing")])  # fmt: skip
    write("reject/signature.json", refused("Signature", [(name, data, "invalid") for name, data in rows]) + cut)


def write_orders():
    domain = random_domain()
    _, signature, order = signed_struct("Order", domain)
    good = [(f"random {i}", signed_struct("Order", domain)[2]) for i in range(4)]
    good += [("lowest", signed_struct("Order", domain, extreme("Order", True))[2])]
    good += [("highest", signed_struct("Order", domain, extreme("Order", False))[2])]
    quotes = [(f"quote {i}", signed_struct("Quote", domain)[2]) for i in range(3)]
    closes = [(f"close {i}", signed_struct("Close", domain)[2]) for i in range(2)]
    write(
        "accept/order.json",
        accepted("SignedOrder", good) + accepted("SignedQuote", quotes) + accepted("SignedClose", closes),
    )
    kind = 32 + 8 + 32 + 32 + 32
    rows = [
        (f"evidence kind {tag}", order[:kind] + bytes([tag]) + order[kind + 1 :], "bad_tag") for tag in (0, 5, 255)
    ]
    rows += [
        ("empty", b"", "truncated"),
        ("cut in the signature", order[:-1], "truncated"),
        ("without signature", order[:-65], "truncated"),
    ]
    rows += [("one byte more", order + b"\x00", "trailing"), ("two signatures", order + signature, "trailing")]
    rows += [("v 0", order[:-1] + b"\x00", "invalid"), ("signature of zeros", order[:-65] + bytes(65), "invalid")]
    write("reject/order.json", refused("SignedOrder", rows))


def write_receipts():
    domain = random_domain()
    _, _, receipt = signed_struct("Receipt", domain)
    good = [(f"random {i}", signed_struct("Receipt", domain)[2]) for i in range(4)]
    good += [("lowest", signed_struct("Receipt", domain, extreme("Receipt", True))[2])]
    good += [("highest", signed_struct("Receipt", domain, extreme("Receipt", False))[2])]
    write("accept/receipt.json", accepted("SignedReceipt", good))
    rows = [
        ("empty", b"", "truncated"),
        ("cut", receipt[:-1], "truncated"),
        ("one byte more", receipt + b"\x00", "trailing"),
    ]
    rows += [
        ("v 29", receipt[:-1] + b"\x1d", "invalid"),
        ("s of ones", receipt[:-33] + b"\xff" * 32 + receipt[-1:], "invalid"),
    ]
    write("reject/receipt.json", refused("SignedReceipt", rows))


def write_evidence():
    domain = random_domain()
    pair = inference([random_tensor()], [random_tensor(), random_tensor()])
    items = listed([random_item(domain)])
    good = [
        ("signed", SIGNED_EVIDENCE),
        ("zk", zk([pair], octets(40))),
        ("zk, two inferences", zk([pair, pair], b"")),
        ("zk, nothing", zk([], b"")),
        ("optimistic", OPTIMISTIC_EVIDENCE),
    ]
    good += [("zk, 1024 inferences", zk([inference([], [])] * 1024, b""))]
    groups = [("signed", items + SIGNED_EVIDENCE), ("optimistic", items + OPTIMISTIC_EVIDENCE), ("zk", items + zk([pair], octets(40)))]
    groups += [(f"random {i}", random_group(domain)) for i in range(3)]
    write("accept/evidence.json", accepted("Evidence", good) + accepted("Group", groups))
    bit = tensor({"dtype": "int8", "shape": [], "data": [1]})
    rows = [(f"version {version}", bytes([version, 1]), "unknown_version") for version in (0, 2, 255)]
    rows += [(f"kind {tag}", EVIDENCE_VERSION + bytes([tag]), "bad_tag") for tag in (0, 3, 5, 255)]
    proven = EVIDENCE_VERSION + b"\x02"
    rows += [
        ("empty", b"", "truncated"),
        ("version alone", EVIDENCE_VERSION, "truncated"),
        ("signed, one byte more", SIGNED_EVIDENCE + b"\x00", "trailing"),
        ("zk without proof", proven + listed([pair]), "truncated"),
    ]
    rows += [("1025 inferences", proven + length(1025) + inference([], []) * 1025 + blob(b""), "too_long")]
    rows += [("17 inputs", proven + listed([listed([bit] * 17) + listed([])]) + blob(b""), "too_long")]
    rows += [("17 outputs", proven + listed([listed([]) + listed([bit] * 17)]) + blob(b""), "too_long")]
    rows += [
        ("2^32 - 1 inferences", proven + b"\xff" * 4, "too_long"),
        ("proof of 2^32 - 1 bytes", zk([], b"")[:-4] + b"\xff" * 4, "too_long"),
    ]
    rows += [
        ("proof of 2^20 + 1 bytes", zk([], b"")[:-4] + length((1 << 20) + 1), "too_long"),
        ("proof cut", zk([], b"1234")[:-1], "truncated"),
    ]
    group = [
        ("no items", listed([]) + SIGNED_EVIDENCE, "invalid"),
        ("1025 items", length(1025), "too_long"),
        ("items announced", length(1024), "truncated"),
    ]
    group += [
        ("no evidence", items, "truncated"),
        ("tee", items + EVIDENCE_VERSION + b"\x03", "bad_tag"),
        ("evidence of version 2", items + b"\x02\x01", "unknown_version"),
        ("two kinds", items + SIGNED_EVIDENCE + b"\x01", "trailing"),
    ]
    write("reject/evidence.json", refused("Evidence", rows) + refused("Group", group))


def signed_transaction(name, domain, sponsored=False):
    key, sponsor = random_key(), random_key()
    meta = random_struct("TxMeta")
    meta["sender"] = bytes.fromhex(Account.from_key(key).address[2:])
    meta["sponsor"] = bytes.fromhex(Account.from_key(sponsor).address[2:]) if sponsored else bytes(20)
    value, data = random_message(name, domain)
    both = {"meta": meta, "message": value}
    _, signature = sign("Transaction", both, domain, key, name)
    second = sign("Transaction", both, domain, sponsor, name)[1] if sponsored else None
    return TX_VERSION + struct("TxMeta", meta) + data, signature, second


def write_transactions():
    domain = random_domain()
    good = []
    for name in MESSAGES:
        for sponsored in (False, True):
            body, signature, second = signed_transaction(name, domain, sponsored)
            good.append((name + (", sponsored" if sponsored else ""), body + signature + optional(second)))
    write("accept/transaction.json", accepted("SignedTransaction", good))

    meta = 1 + 20 + 8 + 32 + 16 + 16 + 20
    body, signature, _ = signed_transaction("Transfer", domain)
    whole = body + signature + optional(None)
    sponsored, first, second = signed_transaction("Transfer", domain, True)
    rows = [(f"message {tag}", body[:meta] + bytes([tag]) + whole[meta + 1 :], "bad_tag") for tag in (0, 15, 16, 21, 255)]
    rows += [(f"version {version}", bytes([version]) + whole[1:], "unknown_version") for version in (0, 2, 255)]
    rows += [
        ("empty", b"", "truncated"),
        ("version alone", TX_VERSION, "truncated"),
        ("without its version", whole[1:], "unknown_version"),
        ("cut", whole[:-1], "truncated"),
        ("one byte more", whole + b"\x00", "trailing"),
    ]
    rows += [("no sponsor, two signatures", body + signature + optional(second), "invalid")]
    rows += [("sponsor, one signature", sponsored + first + optional(None), "invalid")]
    rows += [
        ("flag 2", body + signature + b"\x02" + second, "bad_tag"),
        ("signature of zeros", body + bytes(65) + b"\x00", "invalid"),
    ]
    terms = body[:meta]

    def message(name, data):
        return terms + unsigned(8, TAG[name]) + data + signature + optional(None)

    rows += [
        ("endpoint of 257 bytes", message("RegisterNode", blob(b"a" * 257) + bytes(40) + listed([])), "too_long")
    ]
    rows += [
        ("endpoint that is not UTF-8", message("RegisterNode", blob(b"\xff") + bytes(40) + listed([])), "invalid")
    ]
    offer = struct("Offer", random_struct("Offer"))
    rows += [("65 offers", message("RegisterNode", blob(b"a") + bytes(40) + listed([offer] * 65)), "too_long")]
    rows += [("offer of kind 0", message("RegisterNode", blob(b"a") + bytes(40) + listed([bytes(69)])), "bad_tag")]
    rows += [
        ("no groups", message("SettleBatch", listed([])), "invalid"),
        ("65 groups", message("SettleBatch", length(65)), "too_long"),
    ]
    rows += [
        ("no answers", message("Respond", listed([]) + listed([]) + blob(b"")), "invalid"),
        ("1025 answers", message("Respond", length(1025)), "too_long"),
        ("no vouchers", message("SettleVouchers", listed([])), "invalid"),
        ("257 vouchers", message("SettleVouchers", length(257)), "too_long"),
        ("path of 65 hashes", message("Demand", bytes(80) + length(65)), "too_long"),
    ]
    rows += [("consent flag 3", message("CloseChannel", bytes(32) + b"\x03"), "bad_tag")]
    rows += [("verifying key of 2^18 + 1 bytes", message("RegisterModel", length((1 << 18) + 1)), "too_long")]
    write("reject/transaction.json", refused("SignedTransaction", rows))


# ---- W8: the render ----------------------------------------------------------------------------------------------


def random_decimal():
    digits = str(RNG.getrandbits(RNG.choice([1, 8, 20, 40, 63])))
    fraction = "".join(RNG.choice("0123456789") for _ in range(RNG.randint(0, max(0, 19 - len(digits)))))
    exponent = RNG.choice(["", "", "e0", f"e{RNG.randint(-40, 40)}", f"E+{RNG.randint(0, 20)}", "e-300"])
    return RNG.choice(["", "-"]) + digits + ("." + fraction if fraction else "") + exponent


def request_text(model, named):
    """A body in which each number stands as written."""
    inputs = ",".join('{"name":"%s","data":[%s]}' % (name, ",".join(data)) for name, data in named)
    return '{"model":"%s","inputs":[%s]}' % (model, inputs)


def random_spec(name):
    dtype = RNG.choice(list(DTYPES))
    mantissa, shift = RNG.choice([1, 3, 127, 4294967295, RNG.getrandbits(32) | 1]), RNG.choice([0, 4, 16, 31, 62])
    return {
        "name": name,
        "dtype": dtype,
        "shape": [RNG.randint(1, 4), RNG.randint(1, 3)],
        "mantissa": mantissa,
        "shift": shift,
    }


def render_accept():
    model = plain(octets(32))
    cases = []
    for index in range(24):
        specs = [random_spec(name) for name in ("image", "/mask", "x.1")[: RNG.randint(1, 3)]]
        named = [(spec["name"], [random_decimal() for _ in range(elements(spec["shape"]))]) for spec in specs]
        tensors = [
            {"dtype": spec["dtype"], "shape": spec["shape"], "data": [quantise(text, spec) for text in data]}
            for spec, (_, data) in zip(specs, named)
        ]
        if index % 2:
            named.reverse()
        cases.append((f"random {index}", model, specs, request_text(model, named), tensors))
    byte = {"name": "x", "dtype": "int8", "shape": [12], "mantissa": 1, "shift": 0}
    ties = [
        "0.5",
        "-0.5",
        "1.5",
        "-1.5",
        "2.5",
        "0.49999999999999999",
        "127.5",
        "-128.5",
        "1e999",
        "-1e999",
        "1e-999",
        "-0",
    ]
    data = [1, -1, 2, -2, 3, 0, 127, -128, 127, -128, 0, 0]
    cases.append(
        ("ties", model, [byte], request_text(model, [("x", ties)]), [{"dtype": "int8", "shape": [12], "data": data}])
    )
    scalar = {"name": "x", "dtype": "int8", "shape": [], "mantissa": 1, "shift": 0}
    one = [{"dtype": "int8", "shape": [], "data": [1]}]
    spaced = ' {\n\t"inputs" : [ { "data" : [ 1 ] , "name" : "x" } ] ,\r\n"model" : "%s" } ' % model.upper().replace(
        "0X", ""
    )
    cases.append(("white space, other order, bare upper-case id", model, [scalar], spaced, one))
    return [dict(zip(("name", "model", "specs", "request", "tensors"), case)) for case in cases]


def render_reject():
    model = "0x" + "11" * 32
    scalar = {"name": "x", "dtype": "int8", "shape": [], "mantissa": 1, "shift": 0}
    good = request_text(model, [("x", ["1"])])
    rows = [
        ("empty", "", "syntax"),
        ("unknown key", good[:-1] + ',"stream":true}', "unknown_key"),
        ("unknown key of an input", good.replace('"name"', '"shape":[],"name"'), "unknown_key"),
        ("model twice", good[:-1] + ',"model":"%s"}' % model, "duplicate"),
        ("inputs twice", good[:-1] + ',"inputs":[]}', "duplicate"),
        ("name twice", good.replace('"name":"x"', '"name":"x","name":"x"'), "duplicate"),
        ("data twice", good.replace('"data":[1]', '"data":[1],"data":[1]'), "duplicate"),
        ("no model", '{"inputs":[]}', "missing"),
        ("no inputs", '{"model":"%s"}' % model, "missing"),
        ("no name", good.replace('"name":"x",', ""), "missing"),
        ("no data", good.replace(',"data":[1]', ""), "missing"),
        ("input missing", request_text(model, []), "missing"),
        ("input twice", request_text(model, [("x", ["1"]), ("x", ["1"])]), "duplicate"),
        ("input unknown", request_text(model, [("x", ["1"]), ("y", ["1"])]), "unknown_input"),
        ("no element", request_text(model, [("x", [])]), "element_count"),
        ("two elements", request_text(model, [("x", ["1", "1"])]), "element_count"),
        ("short model", good.replace("0x1111", "0x11"), "syntax"),
        ("escape", good.replace('"x"', '"\\u0078"'), "syntax"),
        ("name outside ASCII", good.replace('"x"', '"é"'), "syntax"),
        ("two documents", good + good, "syntax"),
        ("byte order mark", "\ufeff" + good, "syntax"),
        ("comma at the end", good.replace("[1]", "[1,]"), "syntax"),
        ("nested data", good.replace("[1]", "[[1]]"), "syntax"),
    ]
    numbers = [
        "+1",
        ".5",
        "1.",
        "01",
        "-01",
        "-",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "null",
        '"1"',
        "1e12345",
        "10000000000000000000",
        "1.0000000000000000000",
    ]
    rows += [(f"number {text}", good.replace("[1]", f"[{text}]"), "syntax") for text in numbers]
    return [{"name": name, "specs": [scalar], "request": text, "code": "render." + code} for name, text, code in rows]


def response_text(model, specs, tensors):
    outputs = [
        {
            "name": spec["name"],
            "dtype": value["dtype"],
            "shape": value["shape"],
            "scale": {"mantissa": spec["mantissa"], "shift": spec["shift"]},
            "data": value["data"],
        }
        for spec, value in zip(specs, tensors)
    ]
    return json.dumps({"model": model, "outputs": outputs}, separators=(",", ":"))


def render_responses():
    cases = []
    for _ in range(8):
        model, tensors = plain(octets(32)), [random_tensor() for _ in range(RNG.randint(0, 3))]
        specs = [{**random_spec(f"out.{i}"), "dtype": t["dtype"], "shape": t["shape"]} for i, t in enumerate(tensors)]
        text = response_text(model, specs, tensors)
        cases.append(
            {
                "model": model,
                "specs": specs,
                "tensors": tensors,
                "response": text,
                "hash": plain(content(text.encode())),
            }
        )
    return cases


def main():
    write_eip712()
    write_hashes()
    write_tensors()
    write_scales()
    write_signatures()
    write_orders()
    write_receipts()
    write_evidence()
    write_transactions()
    write("render.json", {"accept": render_accept(), "reject": render_reject(), "responses": render_responses()})


if __name__ == "__main__":
    main()
