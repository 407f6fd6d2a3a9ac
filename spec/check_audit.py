#!/usr/bin/env python3
"""Runs audit.py on a recorded network, as it was and after each of many alterations.

The recording, `vectors/audit/run.json.gz`, is what `audit.py --save` read from a real node: state, blocks and genesis
document, with inferences settled with a proof, with signatures, as optimistic and proven on demand, and a voucher. The audit must find nothing in it, and must
find each alteration by the check that it aims at.
"""

import contextlib
import copy
import gzip
import io
import json
import pathlib
import sys

import audit

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


def opg(run):
    return next(record for record in run["export"]["state"]["supplies"] if record["asset"] == 0)


@alteration("supply part")
def minted_balance(run):
    run["export"]["state"]["balances"][0]["amount"] += "0"


@alteration("supply part")
def minted_stake(run):
    run["export"]["state"]["validators"][0]["stake"] += "0"


@alteration("supply part")
def lost_withdrawal(run):
    run["export"]["state"]["unstaking"].append({"amount": "1"})


@alteration("burned in all blocks")
def slashed_and_not_burned(run):
    run["export"]["state"]["validators"][0]["slashed"] = "1"


@alteration("powers by stakes")
def power_without_stake(run):
    document = json.loads(run["genesis"])
    document["validators"][0]["power"] = "7"
    run["genesis"] = json.dumps(document)


@alteration("supply identity")
def minted_balance_with_matching_record(run):
    entry = run["export"]["state"]["balances"][0]
    entry["amount"] = str(int(entry["amount"]) + 1)
    opg(run)["balances"] = str(int(opg(run)["balances"]) + 1)


@alteration("issued at genesis")
def minted_at_genesis(run):
    opg(run)["issued"] = str(int(opg(run)["issued"]) + 1)
    opg(run)["balances"] = str(int(opg(run)["balances"]) + 1)
    entry = run["export"]["state"]["balances"][0]
    entry["amount"] = str(int(entry["amount"]) + 1)


@alteration("burned in all blocks")
def unburned(run):
    opg(run)["burned"] = str(int(opg(run)["burned"]) - 1)


@alteration("application hash of the export")
def another_entry(run):
    raw = run["export"]["state"]["raw"]
    key = next(iter(raw))
    raw[key] = flip(raw[key])


@alteration("application hash in the next header")
def another_state(run):
    raw = run["export"]["state"]["raw"]
    raw.pop(next(iter(raw)))
    entries = [(bytes.fromhex(key), bytes.fromhex(value)) for key, value in raw.items()]
    run["export"]["app_hash"] = "0x" + audit.state_root(entries).hex()


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


@alteration("signer of the order")
def another_payer(run):
    for channel in run["export"]["state"]["channels"]:
        channel["payer"] = flip(channel["payer"])


@alteration("receipt key of the node")
def another_receipt_key(run):
    for node in run["export"]["state"]["nodes"]:
        for term in node["signers"]:
            term["signer"] = flip(term["signer"])


@alteration("paid from the channel")
def another_payment(run):
    for channel in run["export"]["state"]["channels"]:
        channel["paid"] = str(int(channel["paid"]) + 1)


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


@alteration("sender of the batch", "settlement of a receipt")
def another_network(run):
    run["export"]["state"]["chain"]["chain_id"] += 1


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
        if any(failure.startswith(f"{check} ") for check in expected for failure in found):
            passed += 1
        else:
            failed.append(f"{name}: expected one of {expected}, found {found[:3]}")
    for failure in failed:
        print(f"FAIL  {failure}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
