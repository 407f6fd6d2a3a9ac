#!/usr/bin/env python3
"""Audits a network from outside: from an export of the state and the blocks alone, with no code of the project.

    audit.py --node http://127.0.0.1:7410 [--save DIR]
    audit.py --export export.json --blocks blocks.json [--genesis genesis.json --trust 0x...]

Decodes the entries under the application hash, and recomputes from them, not from what the node says of them, the
supply of every asset and what follows from other entries; the application hash, the header hashes and their ed25519
votes, the roots of transactions, results and receipts; and recovers who signed orders, receipts and batches. Needs
Python 3.10 and the packages eth_account, cryptography and blake3. Ends with "N passed, M failed"; exit code 1 if any
failed.

`export.json` is the output of `haca state export`; `blocks.json` is a list of the answers to GET /v1/block/{height},
from height 1 on. `--save` writes both, and the genesis document, from a node.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import struct
import sys
import time
import urllib.request

import state_entries
from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

# How long to wait for the block that commits to the exported state; an idle network makes one every ten seconds.
NEXT_BLOCK_S = 20


def sha256(data):
    return hashlib.sha256(data).digest()


def unhex(text):
    return bytes.fromhex(text.removeprefix("0x"))


# --- What passed and what failed


class Tally:
    def __init__(self):
        self.passed = {}
        self.failures = []

    def check(self, name, found, expected, where=""):
        if found == expected:
            self.passed[name] = self.passed.get(name, 0) + 1
        else:
            show = lambda value: value.hex() if isinstance(value, bytes) else value
            self.failures.append(f"{name} {where}: found {show(found)}, expected {show(expected)}")
        return found == expected


# --- Merkle trees


def merkle(leaves):
    """RFC 6962, which CometBFT uses for all its lists."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle(leaves[:split]) + merkle(leaves[split:]))


def state_root(entries):
    """The Jellyfish Merkle tree: a binary tree over the bits of hashed keys in which a subtree with a single leaf is
    that leaf."""
    leaves = sorted((sha256(key), sha256(value)) for key, value in entries)

    def root(leaves, depth):
        if not leaves:
            return b"SPARSE_MERKLE_PLACEHOLDER_HASH__"
        if len(leaves) == 1:
            return sha256(b"JMT::LeafNode" + leaves[0][0] + leaves[0][1])
        bit = lambda leaf: leaf[0][depth // 8] >> (7 - depth % 8) & 1
        left = [leaf for leaf in leaves if not bit(leaf)]
        right = [leaf for leaf in leaves if bit(leaf)]
        return sha256(b"JMT::IntrnalNode" + root(left, depth + 1) + root(right, depth + 1))

    return root(leaves, 0)


# --- Protobuf, as much as headers and votes need


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number_field(tag, number):
    return b"" if number == 0 else varint(tag << 3) + varint(number)


def fixed_field(tag, number):
    return b"" if number == 0 else varint(tag << 3 | 1) + struct.pack("<q", number)


def bytes_field(tag, data):
    return b"" if not data else message_field(tag, data)


def message_field(tag, data):
    """Written even when empty: CometBFT's embedded messages are not nullable."""
    return varint(tag << 3 | 2) + varint(len(data)) + data


def timestamp(moment):
    return number_field(1, moment["seconds"]) + number_field(2, moment["nanos"])


def block_id(id):
    parts = number_field(1, id["parts"]) + bytes_field(2, unhex(id["parts_hash"]))
    return bytes_field(1, unhex(id["hash"])) + message_field(2, parts)


def header_hash(header):
    version = number_field(1, header["version"]["block"]) + number_field(2, header["version"]["app"])
    hashed = [
        "last_commit_hash",
        "data_hash",
        "validators_hash",
        "next_validators_hash",
        "consensus_hash",
        "app_hash",
        "last_results_hash",
        "evidence_hash",
        "proposer_address",
    ]
    return merkle(
        [
            version,
            bytes_field(1, header["chain_id"].encode()),
            number_field(1, header["height"]),
            timestamp(header["time"]),
            block_id(header["last_block_id"]),
        ]
        + [bytes_field(1, unhex(header[name])) for name in hashed]
    )


def canonical_vote(chain_id, commit, signature, for_block):
    """The bytes that a validator signs: a length-delimited CanonicalVote."""
    vote = number_field(1, 2) + fixed_field(2, commit["height"]) + fixed_field(3, commit["round"])
    if for_block:
        vote += message_field(4, block_id(commit["block_id"]))
    vote += message_field(5, timestamp(signature["timestamp"])) + bytes_field(6, chain_id.encode())
    return varint(len(vote)) + vote


def validators_hash(validators):
    key = lambda validator: bytes_field(1, unhex(validator["public_key"]))
    return merkle([message_field(1, key(v)) + number_field(2, v["power"]) for v in validators])


def results_hash(txs):
    return merkle(
        [
            number_field(1, tx["code"])
            + bytes_field(2, unhex(tx["data"]))
            + number_field(5, tx["gas_wanted"])
            + number_field(6, tx["gas_used"])
            for tx in txs
        ]
    )


# --- The codec of spec/wire.md, as much as settlements need


class Reader(state_entries.Reader):
    def fields(self, *fields):
        """Each field is a name and a size in bytes: negative for raw bytes, positive for a number."""
        return {name: self.take(-size) if size < 0 else self.number(8 * size) for name, size in fields}


ORDER = [
    ("channel", -32), ("sequence", 8), ("request", -32), ("inputRoot", -32), ("model", -32), ("evidence", 1),
    ("offerVersion", 4), ("maxFee", 16), ("warranty", 16), ("settleBy", 8),
]  # fmt: skip
RECEIPT = [
    ("channel", -32), ("sequence", 8), ("order", -32), ("inputRoot", -32), ("outputRoot", -32), ("response", -32),
    ("render", 2), ("parameters", -32), ("seed", 8), ("units", 8), ("fee", 16), ("blockHeight", 8), ("blockHash", -32),
    ("signer", -20),
]  # fmt: skip
META = [("sender", -20), ("expiry", 8), ("nonce", -32), ("maxBaseFee", 16), ("tip", 16), ("sponsor", -20)]
SETTLEMENT = [
    ("channel", -32), ("sequence", 8), ("order", -32), ("receipt", -32), ("model", -32), ("evidence", 1),
    ("payer", -20), ("node", -20), ("payout", -20), ("asset", 4), ("fee", 16), ("tx", -32),
]  # fmt: skip
VOUCHER = [
    ("channel", -32), ("first", 8), ("count", 4), ("root", -32), ("model", -32), ("evidence", 1), ("total", 16),
    ("warranty", 16), ("settleBy", 8),
]  # fmt: skip
ROOT = [
    ("channel", -32), ("first", 8), ("count", 4), ("root", -32), ("blockHeight", 8), ("blockHash", -32), ("signer", -20),
]  # fmt: skip
# EIP-712 names an address by its own type, and a number by its width in bits.
TYPE = lambda size: {-20: "address", -32: "bytes32"}.get(size) or f"uint{8 * size}"
SETTLE_BATCH = 9
SETTLE_VOUCHERS = 19


def tensor(reader):
    width = {1: 1, 2: 2, 3: 4, 4: 8}[reader.number(8)]
    elements = 1
    for dim in reader.list(lambda _: reader.number(32)):
        elements *= dim
    reader.take(elements * width)


# The format version that leads transactions and evidence.
VERSION = 1


def known_version(reader, what):
    found = reader.number(8)
    if found != VERSION:
        raise ValueError(f"{what} of version {found}, expected {VERSION}")


def evidence(reader):
    known_version(reader, "evidence")
    kind = reader.number(8)
    if kind == 2:
        reader.list(lambda _: [reader.list(lambda _: tensor(reader)) for _ in range(2)])
        reader.blob()
    elif kind not in (1, 4):
        raise ValueError(f"evidence kind {kind}")
    return kind


def item(reader):
    order = reader.fields(*ORDER)
    order_signature = reader.take(65)
    return order, order_signature, reader.fields(*RECEIPT), reader.take(65)


def coverage(reader):
    voucher, voucher_signature = reader.fields(*VOUCHER), reader.take(65)
    return voucher, voucher_signature, reader.fields(*ROOT), reader.take(65)


def settlement(tx):
    """Meta, encoded content, the groups' items, the vouchers, and the sender's signature; None for other messages."""
    reader = Reader(tx)
    known_version(reader, "transaction")
    meta = reader.fields(*META)
    tag = reader.number(8)
    start, groups, coverages = reader.at, [], []
    if tag == SETTLE_BATCH:
        groups = reader.list(lambda _: (reader.list(lambda _: item(reader)), evidence(reader)))
    elif tag == SETTLE_VOUCHERS:
        coverages = reader.list(lambda _: coverage(reader))
    else:
        return None
    encoded = tx[start : reader.at]
    return meta, encoded, groups, coverages, reader.take(65)


# --- EIP-712


class Domain:
    def __init__(self, chain_id, genesis):
        self.data = {"name": "HACA", "version": "1", "chainId": chain_id, "salt": genesis}

    def signable(self, types, primary, message):
        full = {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "salt", "type": "bytes32"},
                ],
                **types,
            },
            "primaryType": primary,
            "domain": self.data,
            "message": message,
        }
        return encode_typed_data(full_message=full)

    def recover(self, name, fields, message, signature):
        """The digest, and the address that signed it."""
        types = {name: [{"name": field, "type": TYPE(size)} for field, size in fields]}
        return self.recover_types(types, name, message, signature)

    def recover_types(self, types, name, message, signature):
        signable = self.signable(types, name, message)
        signer = Account.recover_message(signable, signature=signature)
        return keccak(b"\x19" + signable.version + signable.header + signable.body), unhex(signer)

    def recover_settlement(self, name, content, meta, encoded, signature):
        types = {
            name: [{"name": content, "type": "bytes32"}],
            "Transaction": [{"name": "meta", "type": "TxMeta"}, {"name": "message", "type": name}],
            "TxMeta": [{"name": field, "type": TYPE(size)} for field, size in META],
        }
        message = {"meta": meta, "message": {content: blake3(encoded).digest()}}
        return self.recover_types(types, "Transaction", message, signature)[1]


# --- The audit


def audit_supply(state, tally):
    """Per asset: what accounts, channels, held fees, bonds, stakes, unbonding, pool hold, and what was burned, is what was issued;
    and the ledger's own records say so."""
    parts = ["balances", "escrow", "held", "bonds", "stakes", "unbonding", "pool"]
    held = {record["asset"]: dict.fromkeys(parts, 0) for record in state["supplies"]}
    for entry in state["balances"]:
        held[entry["asset"]]["balances"] += int(entry["amount"])
    for channel in state["channels"]:
        held[channel["asset"]]["escrow"] += int(channel["deposit"])
    for entry in state["held"]:
        held[entry["asset"]]["held"] += int(entry["fee"])
        if entry["demand"]:
            held[0]["held"] += int(entry["demand"]["deposit"])
    for bond in state["bonds"]:
        held[bond["asset"]]["bonds"] += int(bond["total"])
    for node in state["nodes"]:
        held[0]["stakes"] += int(node["stake"])
    for validator in state["validators"]:
        held[0]["stakes"] += int(validator["stake"])
    for entry in state["unstaking"]:
        held[0]["unbonding"] += int(entry["amount"])
    for entry in state["unbonding"]:
        held[entry["asset"]]["unbonding"] += int(entry["amount"])
    held[0]["pool"] += int(state["pool"])
    for record in state["supplies"]:
        asset = record["asset"]
        for part in parts:
            tally.check("supply part", int(record[part]), held[asset][part], f"{part} of asset {asset}")
        total = sum(held[asset].values()) + int(record["burned"])
        tally.check("supply identity", total, int(record["issued"]), f"asset {asset}")
        tally.check("supply existing", int(record["existing"]), total - int(record["burned"]), f"asset {asset}")
        print(f"asset {asset}: issued {record['issued']}, burned {record['burned']}, existing {record['existing']}")


def audit_records(state, tally):
    """Entries that follow from others say what they have to."""
    reserved = {}
    for entry, amount in [(c, c["reserve"]) for c in state["channels"]] + [(h, h["warranty"]) for h in state["held"]]:
        place = entry["node"], entry["asset"]
        reserved[place] = reserved.get(place, 0) + int(amount)
    bonds = {(bond["node"], bond["asset"]): int(bond["reserved"]) for bond in state["bonds"]}
    for place in bonds.keys() | reserved.keys():
        tally.check("reserved of the bond", bonds.get(place, 0), reserved.get(place, 0), f"of {place[0]}")
    for bond in state["bonds"]:
        tally.check("bond above what is reserved", int(bond["total"]) >= int(bond["reserved"]), True, bond["node"])
    waiting = {(entry["channel"], first) for entry in state["ranges"] for first in entry["waiting"]}
    ranges = {(held["channel"], held["first"]) for held in state["held"] if held["count"] > 1}
    tally.check("ranges that wait", sorted(waiting), sorted(ranges))
    demands = [held["node"] for held in state["held"] if held["demand"]]
    dockets = {docket["node"]: docket["open"] for docket in state["dockets"]}
    tally.check("open demands", dockets, {node: demands.count(node) for node in demands})
    terms = {entry["model"]: entry for entry in state["terms"]}
    models = {entry["model"]: entry | {"verifying_key": "0x"} for entry in state["models"]}
    tally.check("terms of the models", terms, models)
    due = {(entry["channel"], entry["first"], entry["tick"]) for entry in state["due"]}
    for held in state["held"]:
        tick = held["demand"]["due"] if held["demand"] else held["matures"]
        tally.check("entry of the calendar", (held["channel"], held["first"], tick) in due, True, held["channel"])
    for name in ("closing", "unbonding", "unstaking"):
        queue, taken = state[f"{name}_queue"], [entry["position"] for entry in state[name]]
        tally.check("positions of the queue", taken, list(range(queue["head"], queue["tail"])), name)
    leaving = {(record["validator"], position) for record in state["validators"] for position in record["unstaking"]}
    entries = {(entry["validator"], entry["position"]) for entry in state["unstaking"]}
    tally.check("stake that leaves", sorted(leaving), sorted(entries))


def audit_state(export, blocks, tally):
    """The export is the state that a signed header commits to. Returns its entries, and what they say."""
    raw = [(unhex(key), unhex(value)) for key, value in export["state"]["raw"].items()]
    state = state_entries.decode(raw)
    for name in state.keys() | export["state"].keys() - {"raw"}:
        tally.check("export of the entries", export["state"].get(name), state.get(name), name)
    root = state_root(raw)
    tally.check("application hash of the export", unhex(export["app_hash"]), root)
    following = blocks.get(export["height"] + 1)
    if following:
        tally.check("application hash in the next header", unhex(following["header"]["app_hash"]), root)
    else:
        print(f"block {export['height'] + 1} is not there: the export is not tied to a signed header")
    return dict(raw), state


def audit_header(block, previous, chain_id, tally):
    height, header, commit = block["height"], block["header"], block["commit"]
    where = f"at height {height}"
    found = header_hash(header)
    tally.check("header hash", unhex(block["hash"]), found, where)
    tally.check("header hash in the commit", unhex(commit["block_id"]["hash"]), found, where)
    tally.check("chain identifier", header["chain_id"], chain_id, where)
    tally.check("height", (header["height"], commit["height"]), (height, height), where)
    tally.check("validators hash", unhex(header["validators_hash"]), validators_hash(block["validators"]), where)
    txs = [unhex(tx["bytes"]) for tx in block["txs"]]
    tally.check("transaction hashes", [unhex(tx["hash"]) for tx in block["txs"]], [sha256(tx) for tx in txs], where)
    tally.check("data hash", unhex(header["data_hash"]), merkle([sha256(tx) for tx in txs]), where)
    if previous:
        tally.check("previous header", unhex(header["last_block_id"]["hash"]), unhex(previous["hash"]), where)
        tally.check("results hash", unhex(header["last_results_hash"]), results_hash(previous["txs"]), where)
        tally.check(
            "next validators", unhex(header["validators_hash"]), unhex(previous["header"]["next_validators_hash"]), where
        )


def audit_votes(block, chain_id, tally):
    """Each vote for the block verifies, and more than two thirds of the power voted for it."""
    commit, where = block["commit"], f"at height {block['height']}"
    power = 0
    tally.check("number of votes", len(commit["signatures"]), len(block["validators"]), where)
    for validator, signature in zip(block["validators"], commit["signatures"]):
        if signature["flag"] == 1:
            continue
        key = unhex(validator["public_key"])
        tally.check("validator address", unhex(signature["validator_address"]), sha256(key)[:20], where)
        for_block = signature["flag"] == 2
        vote = canonical_vote(chain_id, commit, signature, for_block)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(unhex(signature["signature"]), vote)
            valid = True
        except InvalidSignature:
            valid = False
        tally.check("vote", valid, True, where)
        power += validator["power"] if valid and for_block else 0
    total = sum(validator["power"] for validator in block["validators"])
    tally.check("two thirds of the power", 3 * power > 2 * total, True, where)


def audit_voucher(signed, settled, channels, nodes, tx, domain, tally, seen, where):
    """Payer and node signed the same range, and the record is about it. Returns how many records that explains."""
    voucher, voucher_signature, root, root_signature = signed
    digest, payer = domain.recover("Voucher", VOUCHER, voucher, voucher_signature)
    _, signer = domain.recover("ReceiptRoot", ROOT, root, root_signature)
    record = settled.get(voucher["root"])
    if not tally.check("settlement of a voucher", record is not None, True, where):
        return 0
    channel, node = channels[voucher["channel"]], nodes[record["node"]]
    keys = [unhex(term["signer"]) for term in node["signers"]]
    tally.check("signer of the voucher", payer, unhex(channel["payer"]), where)
    tally.check("payer of the settlement", record["payer"], payer, where)
    tally.check("signer of the root", (signer, signer in keys), (root["signer"], True), where)
    same = ("channel", "first", "count", "root")
    tally.check("root of the voucher", [root[name] for name in same], [voucher[name] for name in same], where)
    tally.check("node of the channel", record["node"], unhex(channel["node"]), where)
    tally.check("voucher of the settlement", record["order"], digest, where)
    place = (record["channel"], record["sequence"])
    tally.check("range of the settlement", place, (voucher["channel"], voucher["first"]), where)
    tally.check("model", record["model"], voucher["model"], where)
    tally.check("evidence", record["evidence"], voucher["evidence"], where)
    tally.check("total of the voucher", record["fee"], voucher["total"], where)
    tally.check("transaction of the settlement", record["tx"], unhex(tx["hash"]), where)
    for sequence in range(voucher["first"], voucher["first"] + voucher["count"]):
        tally.check("sequence used once", (voucher["channel"], sequence) in seen, False, where)
        seen[voucher["channel"], sequence] = voucher["total"] if sequence == voucher["first"] else 0
    return 1


def audit_settlements(block, state, raw, domain, tally, seen):
    """Orders, receipts and records of one block belong together, and each was signed by whom the state names."""
    where = f"at height {block['height']}"
    records = [unhex(record) for record in block["settled"] or []]
    if records:
        key = b"receipts/" + struct.pack(">Q", block["height"])
        tally.check("receipt root", raw.get(key), merkle(records), where)
    settled = {}
    for record in records:
        fields = Reader(record).fields(*SETTLEMENT)
        settled[fields["receipt"]] = fields
    channels = {unhex(channel["channel"]): channel for channel in state["channels"]}
    nodes = {unhex(node["node"]): node for node in state["nodes"]}
    matched = 0
    for tx in block["txs"]:
        found = settlement(unhex(tx["bytes"]))
        if found is None or tx["code"] != 0:
            continue
        meta, encoded, groups, coverages, signature = found
        kind_of_message = ("SettleVouchers", "coverages") if coverages else ("SettleBatch", "groups")
        sender = domain.recover_settlement(*kind_of_message, meta, encoded, signature)
        tally.check("sender of the batch", sender, meta["sender"], where)
        for signed in coverages:
            matched += audit_voucher(signed, settled, channels, nodes, tx, domain, tally, seen, where)
        for items, kind in groups:
            for order, order_signature, receipt, receipt_signature in items:
                order_digest, payer = domain.recover("Order", ORDER, order, order_signature)
                receipt_digest, signer = domain.recover("Receipt", RECEIPT, receipt, receipt_signature)
                record = settled.get(receipt_digest)
                if not tally.check("settlement of a receipt", record is not None, True, where):
                    continue
                matched += 1
                channel = channels[order["channel"]]
                node = nodes[record["node"]]
                tally.check("signer of the order", payer, unhex(channel["payer"]), where)
                tally.check("payer of the settlement", record["payer"], payer, where)
                tally.check("signer of the receipt", signer, receipt["signer"], where)
                keys = [unhex(term["signer"]) for term in node["signers"]]
                tally.check("receipt key of the node", signer in keys, True, where)
                tally.check("node of the channel", record["node"], unhex(channel["node"]), where)
                tally.check("order of the receipt", receipt["order"], order_digest, where)
                tally.check("order of the settlement", record["order"], order_digest, where)
                tally.check("model", record["model"], order["model"], where)
                tally.check("evidence", (kind, record["evidence"]), (order["evidence"],) * 2, where)
                tally.check("fee", record["fee"], receipt["fee"], where)
                tally.check("fee within the order", receipt["fee"] <= order["maxFee"], True, where)
                tally.check("transaction of the settlement", record["tx"], unhex(tx["hash"]), where)
                place = (order["channel"], order["sequence"])
                tally.check("sequence used once", place in seen, False, where)
                seen[place] = receipt["fee"]
    tally.check("every settlement has its receipt", matched, len(records), where)


def audit_burn(blocks, state, complete, tally):
    """What transactions burned is what the supply record says, with the stakes of jailed nodes and what validators were slashed."""
    burned = 0
    for block in blocks.values():
        for tx in block["txs"]:
            base_fee, burn, _ = (Reader(unhex(tx["data"]) or bytes(48)).fields(("a", 16), ("b", 16), ("c", 16))).values()
            tally.check("gas burned", burn, base_fee * tx["gas_used"], f"transaction {tx['hash']}")
            burned += burn
    if complete:
        jailed = sum(int(state["params"]["node_stake"]) for node in state["nodes"] if node["jailed"])
        jailed += sum(int(validator["slashed"]) for validator in state["validators"])
        record = next(record for record in state["supplies"] if record["asset"] == 0)
        tally.check("burned in all blocks", burned + jailed, int(record["burned"]))
        print(f"burned for gas {burned}, with stakes {jailed}")


def audit_genesis(genesis, trust, export, state, blocks, tally):
    digest = blake3(genesis).digest()
    tally.check("genesis hash of the export", unhex(export["genesis_hash"]), digest)
    if trust:
        tally.check("trusted genesis hash", unhex(trust), digest)
    document = json.loads(genesis)
    if 1 in blocks:
        named = {base64.b64decode(v["pub_key"]["value"]): int(v["power"]) for v in document["validators"]}
        first = {unhex(v["public_key"]): v["power"] for v in blocks[1]["validators"]}
        tally.check("validators of the first block", first, named)
    issued = {asset["id"]: int(asset["issued"]) for asset in document["app_state"]["assets"]}
    unit = max(1, -(-issued[0] // (1 << 50)))
    staked = {unhex(v["key"]): int(v["stake"]) // unit for v in document["app_state"]["validators"]}
    named = {base64.b64decode(v["pub_key"]["value"]): int(v["power"]) for v in document["validators"]}
    tally.check("powers by stakes", named, staked)
    recorded = {record["asset"]: int(record["issued"]) for record in state["supplies"]}
    tally.check("issued at genesis", recorded, issued)


def audit(export, blocks, genesis, trust):
    tally = Tally()
    blocks = {block["height"]: block for block in sorted(blocks, key=lambda block: block["height"])}
    raw, state = audit_state(export, blocks, tally)
    domain = Domain(state["chain"]["chain_id"], unhex(export["genesis_hash"]))
    tally.check("genesis of the state", unhex(state["chain"]["genesis"]), unhex(export["genesis_hash"]))
    if genesis is not None:
        audit_genesis(genesis, trust, export, state, blocks, tally)
    audit_supply(state, tally)
    audit_records(state, tally)
    seen = {}
    for height, block in blocks.items():
        audit_header(block, blocks.get(height - 1), export["chain_id"], tally)
        audit_votes(block, export["chain_id"], tally)
    executed = {height: block for height, block in blocks.items() if height <= export["height"]}
    for block in executed.values():
        audit_settlements(block, state, raw, domain, tally, seen)
    complete = list(executed) == list(range(1, export["height"] + 1))
    audit_burn(executed, state, complete, tally)
    if complete:
        for channel in state["channels"]:
            paid = sum(fee for (id, _), fee in seen.items() if id == unhex(channel["channel"]))
            tally.check("paid from the channel", int(channel["paid"]), paid, channel["channel"])
    return tally


# --- Input


def fetch(node, path):
    with urllib.request.urlopen(node.rstrip("/") + path, timeout=30) as response:
        return response.read()


def fetch_all(node):
    """The state, all blocks up to the one whose header commits to it, and the genesis document."""
    export = json.loads(fetch(node, "/v1/export"))
    deadline = time.monotonic() + NEXT_BLOCK_S
    while (tip := json.loads(fetch(node, "/v1/status"))["height"]) <= export["height"]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    blocks = [json.loads(fetch(node, f"/v1/block/{height}")) for height in range(1, tip + 1)]
    return export, blocks, fetch(node, "/v1/genesis")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", help="URL of a full node to read everything from")
    parser.add_argument("--save", type=pathlib.Path, help="directory to keep what was read in")
    parser.add_argument("--export", type=pathlib.Path, help="output of `haca state export`")
    parser.add_argument("--blocks", type=pathlib.Path, help="list of blocks, as GET /v1/block/{height} gives them")
    parser.add_argument("--genesis", type=pathlib.Path, help="the genesis document")
    parser.add_argument("--trust", help="the genesis hash that you trust")
    args = parser.parse_args()
    if args.node:
        export, blocks, genesis = fetch_all(args.node)
        if args.save:
            args.save.mkdir(parents=True, exist_ok=True)
            (args.save / "export.json").write_text(json.dumps(export))
            (args.save / "blocks.json").write_text(json.dumps(blocks))
            (args.save / "genesis.json").write_bytes(genesis)
    elif args.export and args.blocks:
        export, blocks = json.loads(args.export.read_text()), json.loads(args.blocks.read_text())
        genesis = args.genesis.read_bytes() if args.genesis else None
    else:
        parser.error("give --node, or --export and --blocks")
    try:
        tally = audit(export, blocks, genesis, args.trust)
    except (ValueError, KeyError) as error:
        sys.exit(f"error: this is no export of a state with its blocks: {error!r}")
    for name, count in tally.passed.items():
        print(f"ok    {name}" + (f" ({count})" if count > 1 else ""))
    for failure in tally.failures:
        print(f"FAIL  {failure}")
    print(f"{sum(tally.passed.values())} passed, {len(tally.failures)} failed")
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
