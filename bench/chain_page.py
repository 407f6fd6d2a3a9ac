"""The section of docs/benchmarks.md about the chain, from what `bench/chain.py` measured."""

import textwrap

LOADS = {
    "kvstore": "CometBFT's key-value store",
    "transfers": "plain transfers",
    "pairs": "orders with receipts, 64 a transaction",
    "vouchers": "vouchers over 64 receipts, 16 a transaction",
    "zk": "proofs of 32 inferences, CNN on 8x8",
}

SECTION = """
## The chain

{measured}

{rates}

* One validator under CometBFT v0.39.4 over its unix socket, no wait between blocks, blocks of at most 4 MiB. Sender,
  consensus and application share the cores. Everything is signed and proven before the first transaction is sent.
* *Per second* is by the times of the headers. CometBFT's own key-value store (`abci-cli kvstore`) runs behind the same
  CometBFT with the same settings, in turn with the others; it checks no signature and keeps no tree.
* *Processor* is the time that application and CometBFT use for one transaction. *Node* is the most memory that the
  application's process held.
{reached}

Blocks executed in memory by one thread, without store and consensus (`haca bench ledger`, CNN on 8x8):

{ledger}

* *Sweep* is what a block does before its first transaction with queues as full as one block takes them. Its gas is the least
  that its entries paid when they came: a signature each.
{light}
```console
{commands}
```
"""


def wrapped(text):
    return textwrap.fill(text, 120, subsequent_indent="  " if text.startswith("* ") else "", break_on_hyphens=False)


def table(head, rows, left=1):
    align = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in [head, align, *rows])


def micros(row, process):
    """Processor time for one transaction."""
    return f"{row[process + '_cpu_s'] / row['sent'] * 1e6:,.0f}"


def rates_table(rows):
    head = ["load", "bytes of a transaction", "transactions per second", "receipts per second", "MB per second",
            "blocks per second", "processor, application, µs", "processor, CometBFT, µs", "node, MB"]
    lines = []
    for row in rows:
        receipts = f"{row['units_per_s']:,.0f}" if row["unit"] == "receipts" else "-"
        lines.append([LOADS[row["load"]], f"{row['tx_bytes']:,}", f"{row['txs_per_s']:,.0f}", receipts,
                      f"{row['bytes_per_s'] / 1e6:.2f}", f"{row['blocks_per_s']:.1f}", micros(row, "app"),
                      micros(row, "comet"), f"{row['app_peak_rss_bytes'] / 1e6:,.0f}"])
    return table(head, lines)


def reached(rows):
    """Transfers beside the key-value store, and what proofs take."""
    by_load = {row["load"]: row for row in rows}
    lines = []
    if "kvstore" in by_load and "transfers" in by_load:
        share = by_load["transfers"]["txs_per_s"] / by_load["kvstore"]["txs_per_s"]
        lines.append(f"* Transfers run at {share * 100:.0f} % of the key-value store's rate.")
    if "zk" in by_load:
        row = by_load["zk"]
        proofs = row["txs_per_s"] * row["proof_bytes_per_tx"] / 1e6
        lines.append(f"* {row['units_per_s']:,.0f} proven inferences a second take {proofs:.2f} MB of proofs a second.")
    return "\n".join(wrapped(line) for line in lines)


def ledger_table(rows):
    head = ["a block of", "count", "gas", "ms", "ns per gas", "per second"]
    lines = [[row["what"], f"{row['count']:,}", f"{row['gas']:,}", f"{row['ms']:.2f}", f"{row['ns_per_gas']:.3f}",
              f"{row['per_second']:,.0f}"] for row in rows]
    return table(head, lines)


def section(raw):
    """The section, or nothing where the chain was not measured."""
    chain = raw.get("chain")
    if chain is None:
        return ""
    light = chain.get("light")
    light_text = "" if light is None else "\n" + wrapped(
        f"A light client verifies the bundle of one settled receipt, {light['bytes'] / 1e3:.1f} KB, in "
        f"{light['verify_ms']:.2f} ms (`haca bench light`, {light['runs']} runs, median).") + "\n"
    measured = wrapped(f"Measured on {chain['date']} on {chain['cpu']}, commit {chain['commit']}; {chain['note']}.")
    return SECTION.format(
        measured=measured,
        rates=rates_table(chain["rows"]), reached=reached(chain["rows"]), ledger=ledger_table(chain["ledger"]["rows"]),
        light=light_text, commands="\n".join(f"$ {command}" for command in chain["commands"]))
