"""Signs typed data with eth_account: python sign.py KEY_FILE < DOCUMENT prints the signature, without a document the
account."""

import json
import pathlib
import sys

from eth_account import Account

account = Account.from_key(pathlib.Path(sys.argv[1]).read_text(encoding="ascii").strip())
document = sys.stdin.read()
if document:
    print(account.sign_typed_data(full_message=json.loads(document)).signature.to_0x_hex())
else:
    print(account.address)
