// Verifies proofs and bundles with the WebAssembly module, in Node.js 20 or later.
//
//   node verify.mjs MODULE DIR             model.vk, statement.bin, proof.bin in DIR, as `haca zk prove` writes them:
//                                          accepts them, refuses what is altered, prints the counts
//   node verify.mjs MODULE BUNDLE HASH     a bundle against the genesis hash you trust, as of now
import { readFile } from "node:fs/promises";
import { join } from "node:path";

const VERIFIED = 0;
const REJECTED = 10;

/** Loads the module and returns its two functions. It gets no imports, so it can reach nothing outside. */
export async function load(path) {
  const { instance } = await WebAssembly.instantiate(await readFile(path), {});
  const wasm = instance.exports;
  const request = (...parts) => {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    let address = wasm.haca_request(length);
    if (address === 0) throw new RangeError(`a request of ${length} bytes is too long`);
    for (const part of parts) {
      new Uint8Array(wasm.memory.buffer, address, part.length).set(part);
      address += part.length;
    }
  };
  const report = (verdict) => {
    const bytes = new Uint8Array(wasm.memory.buffer, wasm.haca_report(), wasm.haca_report_length());
    return { verdict, ...JSON.parse(new TextDecoder().decode(bytes)) };
  };
  return {
    verifyProof(key, statement, proof) {
      request(key, statement, proof);
      return report(wasm.haca_verify_proof(key.length, statement.length, proof.length));
    },
    verifyBundle(trust, bundle, nowUnixS, acceptSigned = false) {
      request(trust, bundle);
      return report(wasm.haca_verify_bundle(BigInt(nowUnixS), acceptSigned ? 1 : 0));
    },
  };
}

/** The same bytes with one bit flipped. */
function flipped(bytes, at, bit) {
  const copy = Uint8Array.from(bytes);
  copy[at] ^= 1 << bit;
  return copy;
}

/** Positions spread over a byte string, its ends among them. */
function spread(length, count) {
  return Array.from({ length: count }, (_, at) => Math.floor((at * (length - 1)) / (count - 1)));
}

async function check(verifier, directory) {
  const names = ["model.vk", "statement.bin", "proof.bin"];
  const honest = await Promise.all(names.map((name) => readFile(join(directory, name))));
  let passed = 0;
  let failed = 0;
  const expect = (what, report, verdict) => {
    const good = report.verdict === verdict;
    if (good) passed += 1;
    else failed += 1;
    if (!good) console.log(`FAILED ${what}: expected ${verdict}, found ${JSON.stringify(report)}`);
  };
  const start = performance.now();
  const report = verifier.verifyProof(...honest);
  console.log(`${report.outcome} in ${(performance.now() - start).toFixed(1)} ms: ${JSON.stringify(report)}`);
  expect("the honest proof", report, VERIFIED);
  names.forEach((name, part) => {
    for (const at of spread(honest[part].length, 24)) {
      const altered = honest.map((bytes, index) => (index === part ? flipped(bytes, at, at % 8) : bytes));
      expect(`${name} with byte ${at} altered`, verifier.verifyProof(...altered), REJECTED);
    }
    for (const length of [0, 1, honest[part].length - 1]) {
      const cut = honest.map((bytes, index) => (index === part ? bytes.subarray(0, length) : bytes));
      expect(`${name} cut to ${length} bytes`, verifier.verifyProof(...cut), REJECTED);
    }
    const longer = honest.map((bytes, index) => (index === part ? Uint8Array.from([...bytes, 0]) : bytes));
    expect(`${name} with a byte more`, verifier.verifyProof(...longer), REJECTED);
  });
  expect("the honest proof, after all that", verifier.verifyProof(...honest), VERIFIED);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function main([module, subject, hash]) {
  if (!module || !subject) {
    console.error("usage: node verify.mjs MODULE DIR | node verify.mjs MODULE BUNDLE HASH");
    return 2;
  }
  const verifier = await load(module);
  if (!hash) return check(verifier, subject);
  const trust = Uint8Array.from(Buffer.from(hash.replace(/^0x/, ""), "hex"));
  if (trust.length !== 32) {
    console.error("error: a genesis hash has 64 hexadecimal digits");
    return 2;
  }
  const report = verifier.verifyBundle(trust, await readFile(subject), Math.floor(Date.now() / 1000));
  console.log(JSON.stringify(report, null, 2));
  return report.verdict;
}

process.exitCode = await main(process.argv.slice(2));
