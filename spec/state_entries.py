"""ledger.md L3 in Python: what the entries of the state say, in the form of `haca state export`. Shares no code with
crates/haca-ledger.

Needs Python 3.10 or later and the packages eth_utils and blake3.
"""

from eth_utils import to_checksum_address
from wire_format import DTYPES, PARAMETERS


class Reader:
    """Reads one encoding to its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise ValueError("an entry ends early")
        self.at += length
        return self.data[self.at - length : self.at]

    def number(self, bits, order="little"):
        return int.from_bytes(self.take(bits // 8), order)

    def flag(self):
        found = self.number(8)
        if found > 1:
            raise ValueError(f"{found} is no flag")
        return found == 1

    def blob(self):
        return self.take(self.number(32))

    def list(self, item):
        return [item(self) for _ in range(self.number(32))]

    def end(self):
        if self.at != len(self.data):
            raise ValueError("an entry has bytes left over")


# ---- Fields. Numbers of up to 64 bits are numbers in JSON, longer ones decimal strings


def number(bits):
    return lambda reader: reader.number(bits) if bits <= 64 else str(reader.number(bits))


U8, U32, U64, U128 = (number(bits) for bits in (8, 32, 64, 128))


def digest(reader):
    return "0x" + reader.take(32).hex()


def consensus_address(reader):
    return "0x" + reader.take(20).hex()


def account(reader):
    return to_checksum_address(reader.take(20))


def text(reader):
    return reader.blob().decode()


def octets(reader):
    return "0x" + reader.blob().hex()


def flag(reader):
    return reader.flag()


def listed(item):
    return lambda reader: reader.list(item)


def optional(item):
    return lambda reader: item(reader) if reader.flag() else None


def record(**fields):
    return lambda reader: {name: field(reader) for name, field in fields.items()}


def choice(names):
    """A tag, from 1 on."""

    def read(reader):
        tag = reader.number(8)
        if not 1 <= tag <= len(names):
            raise ValueError(f"{tag} is none of {names}")
        return names[tag - 1]

    return read


def bits(reader):
    """Which of 1,024 slots are set."""
    words = [reader.number(64) for _ in range(16)]
    return [slot for slot in range(1024) if words[slot // 64] >> slot % 64 & 1]


# ---- Records


EVIDENCE = choice(["signed", "zk", "tee", "optimistic"])
DTYPE = choice(list(DTYPES))
QUEUE = record(head=U64, tail=U64)
OFFER = record(model=digest, evidence=EVIDENCE, asset=U32, base_price=U128, unit_price=U128)
DEMAND = record(sequence=U64, receipt=digest, deposit=U128, due=U64)
HELD = record(
    payer=account, node=account, payout=account, asset=U32, model=digest, count=U32, receipts=digest, fee=U128,
    warranty=U128, matures=U64, demand=optional(DEMAND),
)  # fmt: skip
SUPPLY = record(
    issued=U128, balances=U128, escrow=U128, held=U128, bonds=U128, stakes=U128, unbonding=U128, pool=U128, burned=U128
)
SPEC = record(name=text, dtype=DTYPE, shape=listed(U32), mantissa=U32, shift=U8)
MODEL = record(
    owner=account, units=U64, max_batch=U32, registered=U64, batch_gas=listed(U64), outputs=listed(SPEC),
    verifying_key=octets,
)  # fmt: skip
CLAIM = record(kind=choice(["missed", "equivocation", "unanswered"]), order=digest, paid=U128, height=U64)
UNBONDING = record(node=account, asset=U32, amount=U128, matures=U64)
UNSTAKING = record(validator=consensus_address, amount=U128, height=U64, time_unix_s=U64)
CLOCK = record(height=U64, tick=U64, base_fee=U128)
SET = record(
    members=listed(consensus_address), active=listed(record(key=digest, power=U64)), window=U64, jailed_power=U64
)
PARAMS = record(
    block_gas=U64, tx_gas=U64, block_bytes=U64, gas_flat=U64, gas_byte=U64, gas_signature=U64, node_stake=U128,
    quote_lifetime=U64, tx_lifetime=U64, settle_horizon=U64, grace=U64, claim_window=U64, demand_window=U64,
    respond_window=U64, respond_step=U64, prove_price=U128, unbonding=U64, signer_grace=U64, reward_divisor=U64,
    gas_registration=U64,
    validators=record(
        min_stake=U128, max_validators=U64, evidence_blocks=U64, evidence_s=U64, signed_window=U64, max_missed=U64,
        jail_blocks=U64, slash_divisor=U64,
    ),
    governance=record(voting_blocks=U64, timelock=U64),
)  # fmt: skip
PARAMETER = choice(PARAMETERS)


def channel_state(reader):
    name = choice(["open", "closing", "closed"])(reader)
    more = {
        "open": record(),
        "closing": record(by=account, last_settle=U64, matures=U64),
        "closed": record(height=U64),
    }
    return {"name": name, **more[name](reader)}


def window(reader):
    following = reader.number(64)
    return {"next": following, "lowest": max(0, following - 1024), "bits": "0x" + reader.take(128).hex()}


CHANNEL = record(
    payer=account, node=account, asset=U32, deposit=U128, reserve=U128, offer_version=U32, opened=U64,
    state=channel_state, paid=U128, settled=U64, window=window,
)  # fmt: skip


def term(reader):
    found = record(signer=account, **{"from": U64})(reader)
    end = optional(record(end_height=U64, end_tick=U64))(reader)
    return {**found, **(end or {"end_height": None, "end_tick": None})}


def node(reader):
    found = record(
        endpoint=text, payout=account, offer_version=U32, offers=listed(OFFER), signers=listed(term), stake=U128,
        jailed=flag, registered=U64,
    )(reader)  # fmt: skip
    return {**found, "signer": found["signers"][-1]["signer"] if found["signers"] else None}


def jail(reader):
    name = choice(["free", "until", "forever"])(reader)
    return {"jail": name, "jailed_until": reader.number(64) if name == "until" else None}


def validator(reader):
    return {
        **record(account=account, key=digest, stake=U128)(reader),
        **jail(reader),
        **record(window=U64, missed=U64, slashed=U128, unstaking=listed(U64))(reader),
    }


def proposal(reader):
    found = {"proposer": consensus_address(reader), "parameters": [], "version": 0, "height": 0, "cancels": 0}
    found["kind"] = choice(["parameters", "upgrade", "cancel"])(reader)
    changes = record(parameters=listed(record(name=PARAMETER, value=U128)))
    more = {"parameters": changes, "upgrade": record(version=U64, height=U64), "cancel": record(cancels=U64)}
    found |= more[found["kind"]](reader)
    return found | record(closes=U64, approvals=listed(consensus_address), due=optional(U64))(reader)


# ---- Entries: the name of their list, what their key says after its prefix (numbers big-endian), and their value


def in_key(bits):
    return lambda reader: reader.number(bits, "big")


def amount(reader):
    return {"amount": U128(reader)}


ASSET = record(symbol=text, decimals=U8)
HELD_KEY = record(channel=digest, first=U64)
LISTS = {
    "asset/": ("assets", record(asset=in_key(32)), ASSET),
    "balance/": ("balances", record(account=account, asset=in_key(32)), amount),
    "bond/": ("bonds", record(node=account, asset=in_key(32)), record(total=U128, reserved=U128)),
    "channel/": ("channels", record(channel=digest), CHANNEL),
    "claim/": ("claims", record(channel=digest, sequence=in_key(64)), CLAIM),
    "closing/": ("closing", record(position=in_key(64)), record(channel=digest)),
    "docket/": ("dockets", record(node=account), record(open=U64, due=U64)),
    "due/": ("due", record(tick=in_key(64), position=in_key(64)), HELD_KEY),
    "dues/": ("dues", record(tick=in_key(64)), record(count=U64)),
    "held/": ("held", record(channel=digest, first=in_key(64)), HELD),
    "model/": ("models", record(model=digest), MODEL),
    "node/": ("nodes", record(node=account), node),
    "nonce/": ("nonces", record(sender=account, nonce=digest), record(height=U64)),
    "proposal/": ("proposals", record(proposal=in_key(64)), proposal),
    "ranges/": ("ranges", record(channel=digest, part=in_key(64)), record(waiting=bits, forfeited=bits)),
    "receipts/": ("receipts", record(height=in_key(64)), record(root=digest)),
    "spent/": ("spent", record(height=in_key(64)), record(nonces=listed(record(sender=account, nonce=digest)))),
    "supply/": ("supplies", record(asset=in_key(32)), SUPPLY),
    "terms/": ("terms", record(model=digest), MODEL),
    "unbonding/": ("unbonding", record(position=in_key(64)), UNBONDING),
    "unstaking/": ("unstaking", record(position=in_key(64)), UNSTAKING),
    "validator/": ("validators", record(validator=consensus_address), validator),
}  # fmt: skip
SINGLE = {
    "chain": ("chain", record(chain_id=U64, genesis=digest)),
    "clock": ("clock", CLOCK),
    "governance": ("governance", record(version=U64, next=U64, open=listed(U64))),
    "params": ("params", PARAMS),
    "pool": ("pool", U128),
    "queue/closing": ("closing_queue", QUEUE),
    "queue/due": ("due_queue", record(tick=U64, position=U64)),
    "queue/unbonding": ("unbonding_queue", QUEUE),
    "queue/unstaking": ("unstaking_queue", QUEUE),
    "validators": ("validator_set", SET),
}


def whole(field, data):
    """What all of the bytes say."""
    reader = Reader(data)
    found = field(reader)
    reader.end()
    return found


def shown(name, found):
    """An entry as the export shows it, where that is not field by field."""
    if name == "spent":
        return {**found, "nonces": len(found["nonces"])}
    if name == "supplies":
        return {**found, "existing": str(int(found["issued"]) - int(found["burned"]))}
    if name == "ranges":
        start = 1024 * found.pop("part")
        sequences = {kind: [start + slot for slot in found[kind]] for kind in ("waiting", "forfeited")}
        return {**found, "from": start, **sequences}
    return found


def decode(entries):
    """The state that pairs of key and value hold, by ascending key. A key of no kind or that stands twice, or a value that
    is not of its kind to the last byte, is a ValueError."""
    entries = sorted(entries)
    for (key, _), (following, _) in zip(entries, entries[1:]):
        if key == following:
            raise ValueError(f"the key {key.hex()} stands twice")
    state = {name: [] for name, _, _ in LISTS.values()}
    for key, value in entries:
        single = SINGLE.get(key.decode("latin-1"))
        if single:
            name, field = single
            state[name] = whole(field, value)
            continue
        prefix = key[: key.find(b"/") + 1].decode("latin-1")
        if prefix not in LISTS:
            raise ValueError(f"no entry has the key {key.hex()}")
        name, of_key, of_value = LISTS[prefix]
        found = whole(of_key, key[len(prefix) :]) | whole(of_value, value)
        state[name].append(shown(name, found))
    return state
