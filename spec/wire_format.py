"""wire.md in Python: codec, EIP-712 types, hashes, quantisation. Shares no code with crates/haca-wire.

Needs Python 3.9 or later and the package blake3.
"""

from fractions import Fraction

from blake3 import blake3

# ---- W1, W2: the codec -------------------------------------------------------------------------------------------

BITS = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "uint128": 128}
WIDTH = {"address": 20, "bytes32": 32}


def unsigned(bits, value):
    return value.to_bytes(bits // 8, "little")


def length(count):
    return unsigned(32, count)


def blob(data):
    return length(len(data)) + data


def listed(items):
    return length(len(items)) + b"".join(items)


def optional(data):
    return b"\x00" if data is None else b"\x01" + data


def field(kind, value):
    """A member whose EIP-712 type fixes its encoding."""
    if kind in BITS:
        return unsigned(BITS[kind], value)
    assert len(value) == WIDTH[kind]
    return value


def struct(name, value):
    return b"".join(field(kind, value[key]) for key, kind in STRUCTS[name])


# ---- W3: the EIP-712 types. Members stand in the order of the encoding --------------------------------------------

STRUCTS = {
    "Quote": [
        ("node", "address"), ("payer", "address"), ("asset", "uint32"), ("deposit", "uint128"),
        ("warranty", "uint128"), ("offerVersion", "uint32"), ("expires", "uint64"), ("nonce", "bytes32"),
    ],
    "Order": [
        ("channel", "bytes32"), ("sequence", "uint64"), ("request", "bytes32"), ("inputRoot", "bytes32"),
        ("model", "bytes32"), ("evidence", "uint8"), ("offerVersion", "uint32"), ("maxFee", "uint128"), ("warranty", "uint128"),
        ("settleBy", "uint64"),
    ],
    "Receipt": [
        ("channel", "bytes32"), ("sequence", "uint64"), ("order", "bytes32"), ("inputRoot", "bytes32"),
        ("outputRoot", "bytes32"), ("response", "bytes32"), ("render", "uint16"), ("parameters", "bytes32"),
        ("seed", "uint64"), ("units", "uint64"), ("fee", "uint128"), ("blockHeight", "uint64"),
        ("blockHash", "bytes32"), ("signer", "address"),
    ],
    "Close": [("channel", "bytes32"), ("expires", "uint64")],
    "Voucher": [
        ("channel", "bytes32"), ("first", "uint64"), ("count", "uint32"), ("root", "bytes32"), ("model", "bytes32"),
        ("evidence", "uint8"), ("total", "uint128"), ("warranty", "uint128"), ("settleBy", "uint64"),
    ],
    "ReceiptRoot": [
        ("channel", "bytes32"), ("first", "uint64"), ("count", "uint32"), ("root", "bytes32"),
        ("blockHeight", "uint64"), ("blockHash", "bytes32"), ("signer", "address"),
    ],
    "TxMeta": [
        ("sender", "address"), ("expiry", "uint64"), ("nonce", "bytes32"), ("maxBaseFee", "uint128"),
        ("tip", "uint128"), ("sponsor", "address"),
    ],
    "Offer": [
        ("model", "bytes32"), ("evidence", "uint8"), ("asset", "uint32"), ("basePrice", "uint128"),
        ("unitPrice", "uint128"),
    ],
    "ParamChange": [("name", "string"), ("value", "uint128")],
}  # fmt: skip

# Parameters that a vote can change, by their numbers in the encoding.
PARAMETERS = [
    "block_gas", "tx_gas", "gas_flat", "gas_byte", "gas_signature", "gas_registration", "node_stake", "quote_lifetime",
    "prove_price", "reward_divisor", "validators.min_stake", "validators.max_validators", "validators.signed_window",
    "validators.max_missed", "validators.jail_blocks", "validators.slash_divisor",
]  # fmt: skip

MESSAGES = {
    "Transfer": [("to", "address"), ("asset", "uint32"), ("amount", "uint128")],
    "RegisterModel": [("verifyingKey", "bytes32"), ("proof", "bytes32")],
    "RegisterNode": [("endpoint", "string"), ("payout", "address"), ("signer", "address"), ("offers", "Offer[]")],
    "Bond": [("asset", "uint32"), ("amount", "uint128")],
    "Unbond": [("asset", "uint32"), ("amount", "uint128")],
    "OpenChannel": [("quote", "Quote"), ("signature", "bytes")],
    "TopUp": [("channel", "bytes32"), ("amount", "uint128")],
    "CloseChannel": [("channel", "bytes32"), ("consent", "bytes32")],
    "SettleBatch": [("groups", "bytes32")],
    "ClaimMissed": [("order", "bytes32"), ("receipt", "bytes32")],
    "ClaimEquivocation": [("order", "bytes32"), ("first", "bytes32"), ("second", "bytes32")],
    "Stake": [("key", "bytes32"), ("possession", "bytes"), ("amount", "uint128")],
    "Unstake": [("key", "bytes32"), ("amount", "uint128")],
    "Unjail": [("key", "bytes32")],
    "Propose": [
        ("key", "bytes32"), ("kind", "string"), ("parameters", "ParamChange[]"), ("version", "uint64"),
        ("height", "uint64"), ("cancels", "uint64"),
    ],
    "Vote": [("key", "bytes32"), ("proposal", "uint64"), ("approve", "bool")],
    "Demand": [
        ("channel", "bytes32"), ("first", "uint64"), ("sequence", "uint64"), ("receipt", "bytes32"), ("path", "bytes32[]"),
    ],
    "Respond": [("answers", "bytes32"), ("inferences", "bytes32"), ("proof", "bytes32")],
    "SettleVouchers": [("coverages", "bytes32")],
    "ClaimFalseLeaf": [
        ("order", "bytes32"), ("receipt", "bytes32"), ("root", "bytes32"), ("leaf", "bytes32"), ("path", "bytes32[]"),
    ],
}  # fmt: skip
TAG = {name: 1 + index for index, name in enumerate(MESSAGES)}

DOMAIN_TYPE = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("salt", "bytes32")]


def types_of(primary, message=None):
    """The `types` of the typed data document: the primary type, what it refers to, and the domain."""
    out = {"EIP712Domain": DOMAIN_TYPE}
    if primary == "Transaction":
        out["Transaction"] = [("meta", "TxMeta"), ("message", message)]
        out["TxMeta"] = STRUCTS["TxMeta"]
        out[message] = MESSAGES[message]
        referred = {"RegisterNode": "Offer", "OpenChannel": "Quote", "Propose": "ParamChange"}.get(message)
        if referred:
            out[referred] = STRUCTS[referred]
    else:
        out[primary] = STRUCTS[primary]
    return {name: [{"name": key, "type": kind} for key, kind in members] for name, members in out.items()}


def typed_data(primary, value, domain, message=None):
    return {
        "types": types_of(primary, message),
        "primaryType": primary,
        "domain": {"name": "HACA", "version": "1", "chainId": domain["chainId"], "salt": domain["salt"]},
        "message": value,
    }


# ---- W5 to W7: tensors, evidence, hashes -------------------------------------------------------------------------

DTYPES = {"int8": (1, 8), "int16": (2, 16), "int32": (3, 32), "int64": (4, 64)}


def elements(shape):
    total = 1
    for dim in shape:
        total *= dim
    return total


def shape_bytes(shape):
    return listed([unsigned(32, dim) for dim in shape])


def tensor(value):
    tag, bits = DTYPES[value["dtype"]]
    assert len(value["data"]) == elements(value["shape"])
    data = b"".join(item.to_bytes(bits // 8, "little", signed=True) for item in value["data"])
    return unsigned(8, tag) + shape_bytes(value["shape"]) + data


def scale_bytes(mantissa, shift):
    return unsigned(32, mantissa) + unsigned(8, shift)


def spec_bytes(spec):
    dtype = unsigned(8, DTYPES[spec["dtype"]][0])
    return (
        blob(spec["name"].encode())
        + dtype
        + shape_bytes(spec["shape"])
        + scale_bytes(spec["mantissa"], spec["shift"])
    )


def tensor_root(tensors):
    return blake3(listed([tensor(t) for t in tensors]), derive_key_context="haca v1 tensor root").digest()


def proof_context(separator, receipts):
    data = separator + listed(receipts)
    return blake3(data, derive_key_context="haca v1 settlement proof context").digest()


def inference(inputs, outputs):
    return listed([tensor(t) for t in inputs]) + listed([tensor(t) for t in outputs])


def zk(inferences, proof):
    return EVIDENCE_VERSION + b"\x02" + listed(inferences) + blob(proof)


# The leading byte of encoded evidence and of a signed transaction.
EVIDENCE_VERSION = b"\x01"
TX_VERSION = b"\x01"
SIGNED_EVIDENCE = EVIDENCE_VERSION + b"\x01"
OPTIMISTIC_EVIDENCE = EVIDENCE_VERSION + b"\x04"


def content(data):
    return blake3(data).digest()


# ---- W8: quantisation ---------------------------------------------------------------------------------------------


def quantise(text, spec):
    exact = Fraction(text) * (1 << spec["shift"]) / spec["mantissa"]
    whole, rest = divmod(abs(exact), 1)
    magnitude = whole + (1 if rest >= Fraction(1, 2) else 0)
    bits = DTYPES[spec["dtype"]][1]
    signed = -magnitude if exact < 0 else magnitude
    return int(max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, signed)))
