// Wallet libraries of npm, unmodified: viem, and the one that MetaMask signs with.
//
//   node wallets.mjs CASES DIRECTORY
//
// CASES is what `wallets write` of `haca-wire` wrote. Each library signs every document, recovers our signatures, and
// finds another signer when chain id, salt or any one member of the message is another. What they sign goes to
// DIRECTORY/LIBRARY.json, for `wallets check`. The last line is `N passed, M failed`.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { privateKeyToAccount } from "viem/accounts";
import { hashTypedData, recoverTypedDataAddress } from "viem";
import { SignTypedDataVersion, TypedDataUtils, recoverTypedSignature, signTypedData } from "@metamask/eth-sig-util";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const version = SignTypedDataVersion.V4;

const libraries = {
  viem: {
    hash: (document) => hashTypedData(document),
    sign: (key, document) => privateKeyToAccount(key).signTypedData(document),
    recover: (document, signature) => recoverTypedDataAddress({ ...document, signature }),
  },
  metamask: {
    hash: (document) => `0x${Buffer.from(TypedDataUtils.eip712Hash(document, version)).toString("hex")}`,
    sign: (key, data) => signTypedData({ privateKey: Buffer.from(key.slice(2), "hex"), data, version }),
    recover: (data, signature) => recoverTypedSignature({ data, signature, version }),
  },
};

let passed = 0;
let failed = 0;

function hold(what, holds) {
  if (holds) {
    passed += 1;
  } else {
    failed += 1;
    console.log(what);
  }
}

const same = (a, b) => a.toLowerCase() === b.toLowerCase();

/** Another value of the same type. */
function other(value) {
  if (typeof value === "boolean") {
    return !value;
  }
  if (typeof value === "number") {
    return value + 1;
  }
  if (/^[0-9]+$/.test(value)) {
    return (BigInt(value) ^ 1n).toString();
  }
  if (/^0x[0-9a-f]+$/i.test(value)) {
    return value.slice(0, -1) + (value.endsWith("0") ? "1" : "0");
  }
  return `${value}.`;
}

/** Copies of a document, each with one leaf of its message altered. */
function* altered(document) {
  const paths = [];
  const walk = (value, path) => {
    if (typeof value === "object") {
      Object.entries(value).forEach(([key, part]) => walk(part, [...path, key]));
    } else {
      paths.push(path);
    }
  };
  walk(document.message, []);
  for (const path of paths) {
    const copy = structuredClone(document);
    const last = path.at(-1);
    const parent = path.slice(0, -1).reduce((value, key) => value[key], copy.message);
    parent[last] = other(parent[last]);
    yield [path.join("."), copy];
  }
}

function withDomain(document, member) {
  const copy = structuredClone(document);
  copy.domain[member] = other(copy.domain[member]);
  return copy;
}

/** The second form of a signature: s mirrored, v swapped. It recovers to the same account where a library allows it. */
function highS(signature) {
  const s = ORDER - BigInt(`0x${signature.slice(66, 130)}`);
  const v = signature.slice(130) === "1b" ? "1c" : "1b";
  return signature.slice(0, 66) + s.toString(16).padStart(64, "0") + v;
}

async function check(library, name, entry) {
  const { hash, sign, recover } = libraries[library];
  const document = entry.typed_data;
  const says = (what, holds) => hold(`${library}: ${name}: ${what}`, holds);
  says("hash", same(await hash(document), entry.digest));
  says("recovers our signature", same(await recover(document, entry.signature), entry.address));
  const chain = withDomain(document, "chainId");
  const salt = withDomain(document, "salt");
  const members = [...altered(document)];
  const copies = [["chain id", chain], ["salt", salt], ...members];
  for (const [what, copy] of copies) {
    says(`another signer for another ${what}`, !same(await recover(copy, entry.signature), entry.address));
  }
  const signature = await sign(entry.key, document);
  return {
    signature,
    high_s: highS(signature),
    other_chain: await sign(entry.key, chain),
    other_salt: await sign(entry.key, salt),
    other_member: await sign(entry.key, members[0][1]),
  };
}

const [cases, directory] = process.argv.slice(2);
const entries = JSON.parse(readFileSync(cases, "utf8"));
for (const library of Object.keys(libraries)) {
  const signed = {};
  for (const entry of entries) {
    signed[entry.name] = await check(library, entry.name, entry);
  }
  writeFileSync(join(directory, `${library}.json`), JSON.stringify(signed));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
