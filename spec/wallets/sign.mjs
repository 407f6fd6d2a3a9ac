// Signs typed data with viem: node sign.mjs KEY_FILE < DOCUMENT prints the signature, without a document the account.

import { readFileSync } from "node:fs";
import { privateKeyToAccount } from "viem/accounts";

const account = privateKeyToAccount(`0x${readFileSync(process.argv[2], "utf8").trim()}`);
const document = readFileSync(0, "utf8");
console.log(document ? await account.signTypedData(JSON.parse(document)) : account.address);
