// Verifies proofs, bundles, state files and attack files with the WebAssembly module, in Node.js 20 or later.
//
//   node verify.mjs MODULE DIR             model.vk, statement.bin, proof.bin in DIR, as `haca zk prove` writes them:
//                                          accepts them, refuses what is altered, prints the counts
//   node verify.mjs MODULE VECTORS         vectors.json and light.json in VECTORS, as in spec/vectors/verify: every case has
//                                          the outcome and the checks that stand there
//   node verify.mjs MODULE FILE HASH       a bundle, state file or attack file against the genesis hash you trust, as of now;
//                                          --accept-signed and --accept-optimistic as of `haca verify`
import { readFile, readdir } from "node:fs/promises";
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
    verifyFile(trust, file, nowUnixS, { acceptSigned = false, acceptOptimistic = false } = {}) {
      request(trust, file);
      const accepted = (acceptSigned ? 1 : 0) + (acceptOptimistic ? 2 : 0);
      return report(wasm.haca_verify_file(BigInt(nowUnixS), accepted));
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

const fromHex = (text) => Uint8Array.from(Buffer.from(text.trim().replace(/^0x/, ""), "hex"));

/** Every case of the vectors: the outcome, the state of every check, and of light files whether anything is proven. */
async function checkVectors(verifier, directory) {
  let passed = 0;
  let failed = 0;
  for (const list of ["vectors.json", "light.json"]) {
    for (const one of JSON.parse(await readFile(join(directory, list), "utf8"))) {
      const file = fromHex(await readFile(join(directory, one.bundle ?? one.file), "utf8"));
      const options = { acceptSigned: one.accepts_signed === true };
      const report = verifier.verifyFile(fromHex(one.trust), file, one.now_unix_s, options);
      const states = Object.fromEntries(report.checks.map(({ id, state }) => [id, state]));
      const known = Object.keys(one.checks);
      const good =
        report.outcome === one.outcome &&
        known.length === report.checks.length &&
        known.every((id) => states[id] === one.checks[id]) &&
        (report.proven !== undefined) === (one.proven !== undefined) &&
        report.proven?.key === one.proven?.key &&
        report.proven?.kind === one.proven?.kind;
      if (good) passed += 1;
      else failed += 1;
      if (!good) console.log(`FAILED ${one.name}: expected ${one.outcome}, found ${JSON.stringify(report)}`);
    }
  }
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

async function main(words) {
  const flags = words.filter((word) => word.startsWith("--"));
  const [module, subject, hash] = words.filter((word) => !word.startsWith("--"));
  const unknown = flags.find((flag) => !["--accept-signed", "--accept-optimistic"].includes(flag));
  if (!module || !subject || unknown) {
    if (unknown) console.error(`error: unknown option ${unknown}`);
    console.error("usage: node verify.mjs MODULE DIR | MODULE VECTORS | MODULE FILE HASH [--accept-signed] [--accept-optimistic]");
    return 2;
  }
  const verifier = await load(module);
  if (!hash) {
    const isVectors = (await readdir(subject)).includes("vectors.json");
    return isVectors ? checkVectors(verifier, subject) : check(verifier, subject);
  }
  const trust = fromHex(hash);
  if (trust.length !== 32) {
    console.error("error: a genesis hash has 64 hexadecimal digits");
    return 2;
  }
  const options = {
    acceptSigned: flags.includes("--accept-signed"),
    acceptOptimistic: flags.includes("--accept-optimistic"),
  };
  const report = verifier.verifyFile(trust, await readFile(subject), Math.floor(Date.now() / 1000), options);
  console.log(JSON.stringify(report, null, 2));
  return report.verdict;
}

process.exitCode = await main(process.argv.slice(2)).catch((error) => {
  console.error(`error: ${error.message}`);
  return 2;
});
