"""The section of docs/benchmarks.md about the memory and disk of a full node, from what `bench/full_node.py` took in."""

from chain_page import LOADS, table, wrapped

PARTS = ("state", "snapshots", "blocks", "consensus", "wal", "log", "rest")
ENGINES = {"cometbft": "under CometBFT v0.39.4", "in process": "the same application and stores under the dev engine"}

SECTION = """
## Memory and disk of a full node

{measured}

{memory}

* *Resident* is the most memory that the process of the full node held, CometBFT's beside it. `haca-node` is what
  validators run; `haca node` is the same in the larger program of the command line, with another allocator.

{disk}
* *State* is the file with the Merkle tree, its last 100 versions, and the index of blocks, transactions and receipts;
  *blocks* is CometBFT's store of them, *consensus* its validators and parameters by height with its evidence.
* *Wal*, CometBFT's write-ahead log, grows up to 1 GiB and is then cut; *log* is cut at 16 MiB twice, the part before
  kept. Both have a bound in bytes in the command, all other parts one that follows from what they took once the node
  had all the blocks that it keeps: a tenth more and 16 MiB.
* Fewer blocks are kept than by default (200,000), and evidence reaches back half of them or one second, so that the
  window is full early. Snapshots and versions are the default ones.

```console
{commands}
```
"""


def memory_table(rows):
    head = ["load", "full node", "transactions", "per second", "resident, MB", "resident, CometBFT, MB"]
    lines = [[LOADS[row["load"]], f"`{row['program']}`", f"{row['sent']:,}", f"{row['txs_per_s']:,.0f}",
              f"{row['app_peak_rss_bytes'] / 1e6:,.0f}", f"{row['comet_peak_rss_bytes'] / 1e6:,.0f}"] for row in rows]
    return table(head, lines, left=2)


def megabytes(count):
    return f"{count / 1e6:,.1f}"


def said(run):
    """What was run, and what came of it."""
    verdict = run["verdict"]
    text = (f"{run['blocks']:,} blocks of {run['txs_per_block']} transfers, {ENGINES[run['engine']]}: {run['keep_blocks']:,} "
            f"blocks kept, three snapshots {run['snapshot_blocks']:,} blocks apart, {run['blocks'] / run['looks'][-1]['seconds']:.0f} "
            f"blocks a second.")
    if run["fresh_per_block"]:
        text += f" {run['fresh_per_block']} of the transfers go to an account that is new."
    if verdict:
        text += (f" From height {run['full_height']:,} on nothing has to grow but the state: all parts but the write-ahead log and the "
                 f"log grew by {verdict['bytes_per_tx']:.1f} bytes a transaction")
        text += "." if verdict["bounded"] else ", which is more than their bounds."
    return wrapped(text)


def disk_table(run):
    parts = [part for part in PARTS if any(look[f"{part}_bytes"] >= 50_000 for look in run["looks"])]
    head = ["height", *(f"{part}, MB" for part in parts), "all, MB", "resident, MB"]
    lines = [[f"{look['height']:,}", *(megabytes(look[f"{part}_bytes"]) for part in parts), megabytes(look["total_bytes"]),
              megabytes(look["peak_rss_bytes"])] for look in run["looks"]]
    return table(head, lines, left=0)


def section(raw):
    """The section, or nothing where no full node was measured."""
    node = raw.get("full_node")
    if node is None:
        return ""
    measured = wrapped(f"Measured on {node['date']} on {node['cpu']}, commit {node['commit']}; {node['note']}.")
    disk = "\n".join(f"{said(run)}\n\n{disk_table(run)}\n" for run in node["disk"])
    return SECTION.format(measured=measured, memory=memory_table(node["memory"]), disk=disk,
                          commands="\n".join(f"$ {command}" for command in node["commands"]))
