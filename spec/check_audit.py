#!/usr/bin/env python3
"""Runs audit.py on a recorded network, as it was and after each of many alterations.

The recording, `vectors/audit/run.json.gz`, is what `audit.py --save` read from a real node: state, blocks and genesis
document, with inferences settled with a proof, with signatures, as optimistic and proven on demand, a voucher whose fee
waits with an open demand, a channel that closes, a bond and a stake on their way out, and an open proposal. The audit must
find nothing in it, and must find each alteration by the check that it aims at.
"""

import contextlib
import copy
import gzip
import io
import json
import pathlib
import sys

import audit
import state_entries

RUN = json.loads(gzip.decompress((pathlib.Path(__file__).parent / "vectors/audit/run.json.gz").read_bytes()))
SETTLING = next(index for index, block in enumerate(RUN["blocks"]) if block["settled"])


def failures(run, trust=None):
    """The audit's failures on a run, or why the run can't even be read."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return audit.audit(run["export"], run["blocks"], run["genesis"].encode(), trust).failures
        except (ValueError, KeyError) as error:
            return [f"unreadable {error!r}"]


def flip(text, at=-1):
    """Another hexadecimal digit in one place."""
    digits = list(text)
    digits[at] = "0" if digits[at] != "0" else "1"
    return "".join(digits)


ALTERATIONS = {}


def alteration(*expected):
    """An alteration of a run and the checks of which at least one must fail."""

    def register(alter):
        ALTERATIONS[alter.__name__] = (alter, expected)
        return alter

    return register


def forgery(*expected):
    """An alteration of the stored entries, by key, in a run whose exporter covers it up: names by records and application
    hash follow."""

    def register(forge):
        def alter(run):
            state = run["export"]["state"]
            entries = {bytes.fromhex(key): bytes.fromhex(value) for key, value in state["raw"].items()}
            forge(entries)
            run["export"]["state"] = state_entries.decode(entries.items())
            run["export"]["state"]["raw"] = {key.hex(): value.hex() for key, value in entries.items()}
            run["export"]["app_hash"] = "0x" + audit.state_root(entries.items()).hex()

        alter.__name__ = forge.__name__
        return alteration(*expected)(alter)

    return register


def first(entries, kind):
    """The first key of a kind."""
    return next(key for key in sorted(entries) if key.startswith(kind))


def add(entries, key, at, number, size=16):
    """Adds to a number in an entry, of so many bytes from a place on."""
    value = entries[key]
    found = int.from_bytes(value[at : at + size], "little") + number
    entries[key] = value[:at] + found.to_bytes(size, "little") + value[at + size :]


def opg(part):
    """The place of a part in the supply record of OPG."""
    parts = ["issued", "balances", "escrow", "held", "bonds", "stakes", "unbonding", "pool", "burned"]
    return b"supply/" + bytes(4), 16 * parts.index(part)


@forgery("supply part")
def minted_balance(entries):
    add(entries, first(entries, b"balance/"), 0, 10**12)


@forgery("supply part")
def minted_stake(entries):
    # Behind account and key.
    add(entries, first(entries, b"validator/"), 52, 10**12)


@forgery("supply part", "positions of the queue")
def lost_withdrawal(entries):
    del entries[first(entries, b"unstaking/")]


@forgery("burned in all blocks")
def slashed_and_not_burned(entries):
    # Behind account, key, stake, a jail of one byte, window and missed votes.
    add(entries, first(entries, b"validator/"), 85, 1)


@alteration("powers by stakes")
def power_without_stake(run):
    document = json.loads(run["genesis"])
    document["validators"][0]["power"] = "7"
    run["genesis"] = json.dumps(document)


@forgery("supply identity")
def minted_balance_with_matching_record(entries):
    add(entries, b"balance/" + first(entries, b"balance/")[8:28] + bytes(4), 0, 1)
    add(entries, *opg("balances"), 1)


@forgery("issued at genesis")
def minted_at_genesis(entries):
    minted = b"balance/" + first(entries, b"balance/")[8:28] + bytes(4)
    for key, at in ((minted, 0), opg("balances"), opg("issued")):
        add(entries, key, at, 1)


@forgery("burned in all blocks")
def unburned(entries):
    add(entries, *opg("burned"), -1)


@forgery("reserved of the bond")
def bond_freed_while_a_channel_has_it_reserved(entries):
    add(entries, first(entries, b"bond/"), 16, -1)


@forgery("ranges that wait")
def a_range_that_no_report_finds(entries):
    del entries[first(entries, b"ranges/")]


@forgery("open demands")
def a_demand_taken_off_the_docket(entries):
    del entries[first(entries, b"docket/")]


@forgery("entry of the calendar")
def a_fee_that_is_never_due(entries):
    for key in [key for key in entries if key.startswith(b"due/")]:
        del entries[key]


@forgery("terms of the models")
def cheaper_terms_than_the_model_has(entries):
    # Behind the owner: units.
    add(entries, first(entries, b"terms/"), 20, -1, size=8)


@forgery("positions of the queue")
def a_queue_that_forgets_its_oldest_entry(entries):
    add(entries, b"queue/unbonding", 0, 1, size=8)


@forgery("stake that leaves")
def stake_of_another_validator_leaves(entries):
    key = first(entries, b"unstaking/")
    other = max(key for key in entries if key.startswith(b"validator/"))[10:]
    entries[key] = other + entries[key][20:] if not entries[key].startswith(other) else bytes(20) + entries[key][20:]


@alteration("export of the entries")
def another_amount_than_is_stored(run):
    one, another = run["export"]["state"]["balances"][:2]
    one["amount"], another["amount"] = another["amount"], one["amount"]


@alteration("export of the entries")
def a_record_that_is_not_stored(run):
    run["export"]["state"]["channels"].clear()


@alteration("unreadable ValueError('no entry has the key")
def an_entry_of_no_kind(run):
    run["export"]["state"]["raw"][b"balances/".hex()] = "00" * 16


@alteration("unreadable ValueError('the key")
def an_entry_that_stands_twice(run):
    # Hexadecimal digits have two forms.
    raw = run["export"]["state"]["raw"]
    raw[b"pool".hex().upper()] = raw[b"pool".hex()]


@alteration("unreadable ValueError('an entry has bytes left over')")
def an_entry_with_more_than_its_kind_has(run):
    raw = run["export"]["state"]["raw"]
    raw[b"pool".hex()] += "00"


@alteration("application hash of the export")
def another_entry(run):
    raw = run["export"]["state"]["raw"]
    key = b"pool".hex()
    raw[key] = flip(raw[key], 0)


@forgery("application hash in the next header")
def another_state(entries):
    del entries[first(entries, b"nonce/")]


@alteration("header hash")
def header_time(run):
    run["blocks"][3]["header"]["time"]["nanos"] += 1


@alteration("header hash")
def header_proposer(run):
    run["blocks"][3]["header"]["proposer_address"] = flip(run["blocks"][3]["header"]["proposer_address"])


@alteration("vote")
def vote_signature(run):
    signature = run["blocks"][2]["commit"]["signatures"][1]
    signature["signature"] = flip(signature["signature"], 5)


@alteration("vote")
def vote_time(run):
    run["blocks"][2]["commit"]["signatures"][0]["timestamp"]["nanos"] += 1


@alteration("vote")
def vote_round(run):
    run["blocks"][2]["commit"]["round"] += 1


@alteration("two thirds of the power")
def absent_votes(run):
    for signature in run["blocks"][2]["commit"]["signatures"][:2]:
        signature["flag"] = 1


@alteration("validators hash")
def validator_power(run):
    run["blocks"][2]["validators"][0]["power"] += 1


@alteration("validators of the first block")
def validators_of_genesis(run):
    run["blocks"][0]["validators"].pop()
    run["blocks"][0]["commit"]["signatures"].pop()


@alteration("previous header")
def missing_block(run):
    run["blocks"][4]["hash"] = flip(run["blocks"][4]["hash"])


@alteration("data hash")
def dropped_transaction(run):
    run["blocks"][SETTLING]["txs"].clear()


@alteration("results hash")
def another_result(run):
    run["blocks"][SETTLING]["txs"][0]["gas_used"] -= 1


@alteration("gas burned")
def another_burn(run):
    tx = run["blocks"][SETTLING]["txs"][0]
    tx["data"] = flip(tx["data"], 2 + 2 * 16 + 1)


@alteration("receipt root")
def another_settlement(run):
    settled = run["blocks"][SETTLING]["settled"]
    settled[0] = flip(settled[0])


@alteration("every settlement has its receipt", "receipt root")
def settlement_from_nowhere(run):
    settled = run["blocks"][SETTLING]["settled"]
    settled.append(flip(settled[0], 80))


@forgery("signer of the order")
def another_payer(entries):
    add(entries, first(entries, b"channel/"), 0, 1, size=1)


@forgery("receipt key of the node")
def another_receipt_key(entries):
    key = first(entries, b"node/")
    for term in state_entries.decode(entries.items())["nodes"][0]["signers"]:
        signer = bytes.fromhex(term["signer"][2:])
        entries[key] = entries[key].replace(signer, signer[::-1])


@forgery("paid from the channel")
def another_payment(entries):
    # Behind payer, node, asset, deposit, reserve, offer version, opened, and the state of a channel that closes.
    add(entries, first(entries, b"channel/"), 88 + 37, 1)


def voucher_at(run):
    """The transaction that settled a voucher, and where its range begins in it."""
    for block in run["blocks"]:
        for tx in block["txs"]:
            found = audit.settlement(bytes.fromhex(tx["bytes"].removeprefix("0x")))
            if found and found[3]:
                root = found[3][0][0]["root"].hex()
                return tx, tx["bytes"].index(root)
    raise KeyError("no voucher")


@alteration("settlement of a voucher", "root of the voucher")
def another_root_of_a_voucher(run):
    tx, at = voucher_at(run)
    tx["bytes"] = flip(tx["bytes"], at + 3)


@alteration("signer of the voucher")
def another_total_of_a_voucher(run):
    # The root is followed by the model's id and the kind of evidence; then comes the total.
    tx, at = voucher_at(run)
    tx["bytes"] = flip(tx["bytes"], at + 2 * (32 + 32 + 1) + 1)


@alteration("sequence used once")
def a_voucher_that_settled_twice(run):
    block = next(block for block in run["blocks"] if any(voucher_at(run)[0] is tx for tx in block["txs"]))
    block["txs"].append(copy.deepcopy(voucher_at(run)[0]))


@forgery("sender of the batch", "settlement of a receipt")
def another_network(entries):
    add(entries, b"chain", 0, 1, size=8)


@alteration("genesis hash of the export")
def another_genesis(run):
    run["genesis"] += " "


def main():
    passed, failed = 0, []
    found = failures(RUN, trust=RUN["export"]["genesis_hash"])
    if found:
        failed.append(f"the recording as it was: {found}")
    else:
        passed += 1
    for name, (alter, expected) in ALTERATIONS.items():
        run = copy.deepcopy(RUN)
        alter(run)
        found = failures(run)
        named = lambda failure, check: failure.startswith(check if check.startswith("unreadable") else f"{check} ")
        if any(named(failure, check) for check in expected for failure in found):
            passed += 1
        else:
            failed.append(f"{name}: expected one of {expected}, found {found[:3]}")
    for failure in failed:
        print(f"FAIL  {failure}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
