#!/usr/bin/env python3
"""Runs a four-validator CometBFT v0.39.4 network with the built-in kvstore and dumps what its RPC says.

Usage: generate.py OUTPUT_DIRECTORY. Needs `cometbft` v0.39.4 on PATH or in `$(go env GOPATH)/bin`:
    go install github.com/cometbft/cometbft/cmd/cometbft@v0.39.4
"""
import base64
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

CHAIN = "haca-vectors-1"
POWERS = [10, 10, 7, 3]
BASE_PORT = 27100


def binary():
    found = shutil.which("cometbft")
    if found:
        return found
    gopath = subprocess.check_output(["go", "env", "GOPATH"], text=True).strip()
    return gopath + "/bin/cometbft"


def rpc(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{BASE_PORT + 1}/{path}", timeout=10) as answer:
        reply = json.load(answer)
    if "error" in reply:
        raise RuntimeError(f"{path}: {reply['error']}")
    return reply["result"]


def submit(tx):
    body = {"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_sync",
            "params": {"tx": base64.b64encode(tx).decode()}}
    request = urllib.request.Request(f"http://127.0.0.1:{BASE_PORT + 1}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        reply = json.load(answer)
    assert reply["result"]["code"] == 0, reply


def height():
    return int(rpc("status")["sync_info"]["latest_block_height"])


def wait_height(target):
    deadline = time.time() + 120
    while True:
        try:
            if height() >= target:
                return
        except OSError:
            pass
        if time.time() > deadline:
            raise RuntimeError(f"no block {target} within 120 s")
        time.sleep(0.05)


def configure(home, node, peers):
    path = home / f"node{node}" / "config" / "config.toml"
    text = path.read_text()
    p2p, rpc_port = BASE_PORT + 10 * node, BASE_PORT + 10 * node + 1

    def put(section, key, value):
        nonlocal text
        head, tail = text.split(f"\n[{section}]\n", 1) if section else ("", text)
        tail = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", tail, count=1)
        text = f"{head}\n[{section}]\n{tail}" if section else tail

    put("", "proxy_app", '"kvstore"')
    put("rpc", "laddr", f'"tcp://127.0.0.1:{rpc_port}"')
    put("rpc", "pprof_laddr", '""')
    put("p2p", "laddr", f'"tcp://127.0.0.1:{p2p}"')
    put("p2p", "persistent_peers", json.dumps(peers))
    put("p2p", "addr_book_strict", "false")
    put("p2p", "allow_duplicate_ip", "true")
    put("consensus", "timeout_commit", '"500ms"')
    path.write_text(text)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    comet = binary()
    module = subprocess.check_output(["go", "version", "-m", comet], text=True)
    assert re.search(r"mod\s+github.com/cometbft/cometbft\s+v0\.39\.4\b", module), module
    with tempfile.TemporaryDirectory() as directory:
        home = pathlib.Path(directory)
        run = lambda *a: subprocess.check_output([comet, *a], text=True, stderr=subprocess.STDOUT)
        run("testnet", "--v", "4", "--o", str(home), "--starting-ip-address", "127.0.0.1")
        genesis = json.loads((home / "node0/config/genesis.json").read_text())
        genesis["chain_id"] = CHAIN
        genesis["app_state"] = {}
        genesis["consensus_params"]["block"]["max_bytes"] = "2097152"
        for validator, power in zip(genesis["validators"], POWERS):
            validator["power"] = str(power)
        ids = [run("show-node-id", "--home", str(home / f"node{i}")).strip() for i in range(4)]
        processes = []
        for i in range(4):
            (home / f"node{i}/config/genesis.json").write_text(json.dumps(genesis, indent=1))
            peers = ",".join(f"{ids[j]}@127.0.0.1:{BASE_PORT + 10 * j}" for j in range(4) if j != i)
            configure(home, i, peers)
            log = open(home / f"node{i}.log", "w")
            processes.append(subprocess.Popen([comet, "start", "--home", str(home / f"node{i}")],
                                              stdout=log, stderr=log))
        try:
            wait_height(3)
            submit(b"one=1")
            wait_height(height() + 2)
            for i in range(23):
                submit(b"many%d=%d" % (i, i * i))
            wait_height(height() + 2)
            submit(b"large=" + b"haca" * 17500)
            wait_height(height() + 2)
            last = max(height(), 12)
            wait_height(last + 1)
            dump(out, last)
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def dump(out, last):
    (out / "genesis.json").write_text(json.dumps(rpc("genesis")["genesis"], indent=1) + "\n")
    for h in range(1, last + 1):
        results = rpc(f"block_results?height={h}")
        kept = [{k: r[k] for k in ("code", "data", "gas_wanted", "gas_used")}
                for r in results["txs_results"] or []]
        vector = {
            "block": rpc(f"block?height={h}"),
            "commit": rpc(f"commit?height={h}"),
            "validators": rpc(f"validators?height={h}&per_page=100"),
            "results": kept,
            "app_hash": results["app_hash"],
        }
        (out / f"block-{h:02}.json").write_text(json.dumps(vector, indent=1) + "\n")
    print(f"{last} blocks in {out}")


if __name__ == "__main__":
    main()
