"""The wallet library of PyPI, unmodified: eth_account.

    python wallets.py CASES DIRECTORY

CASES is what `wallets write` of `haca-wire` wrote. The library signs every document, recovers our signatures, and finds
another signer when chain id, salt or any one member of the message is another. What it signs goes to
DIRECTORY/eth_account.json, for `wallets check`. The last line is `N passed, M failed`.
"""

import copy
import json
import pathlib
import re
import sys

from eth_account import Account
from eth_account.messages import encode_typed_data

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

passed = failed = 0


def hold(what, holds):
    global passed, failed
    if holds:
        passed += 1
    else:
        failed += 1
        print(what)


def other(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if re.fullmatch("[0-9]+", value):
        return str(int(value) ^ 1)
    if re.fullmatch("0x[0-9a-fA-F]+", value):
        return value[:-1] + ("1" if value.endswith("0") else "0")
    return value + "."


def paths(value, path=()):
    """The ways to every leaf."""
    if isinstance(value, dict):
        return [found for key, part in value.items() for found in paths(part, (*path, key))]
    if isinstance(value, list):
        return [found for key, part in enumerate(value) for found in paths(part, (*path, key))]
    return [path]


def altered(document, path):
    """A copy with one leaf altered."""
    changed = copy.deepcopy(document)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = other(parent[path[-1]])
    return changed


def sign(key, document):
    return Account.sign_typed_data(key, full_message=document).signature.to_0x_hex()


def recover(document, signature):
    return Account.recover_message(encode_typed_data(full_message=document), signature=signature)


def high_s(signature):
    """The second form of a signature: s mirrored, v swapped."""
    s = ORDER - int(signature[66:130], 16)
    return signature[:66] + f"{s:064x}" + ("1c" if signature[130:] == "1b" else "1b")


def check(entry):
    document = entry["typed_data"]

    def says(what, holds):
        hold(f"eth_account: {entry['name']}: {what}", holds)

    says("recovers our signature", recover(document, entry["signature"]) == entry["address"])
    chain = altered(document, ("domain", "chainId"))
    salt = altered(document, ("domain", "salt"))
    members = [(path, altered(document, ("message", *path))) for path in paths(document["message"])]
    for what, changed in [("chain id", chain), ("salt", salt), *members]:
        says(f"another signer for another {what}", recover(changed, entry["signature"]) != entry["address"])
    signature = sign(entry["key"], document)
    return {
        "signature": signature,
        "high_s": high_s(signature),
        "other_chain": sign(entry["key"], chain),
        "other_salt": sign(entry["key"], salt),
        "other_member": sign(entry["key"], members[0][1]),
    }


def main():
    cases, directory = sys.argv[1:]
    entries = json.loads(pathlib.Path(cases).read_text(encoding="utf-8"))
    signed = {entry["name"]: check(entry) for entry in entries}
    (pathlib.Path(directory) / "eth_account.json").write_text(json.dumps(signed), encoding="utf-8")
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
