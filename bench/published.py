"""What others have published about provers of neural networks. None of it was measured here.

A field is None where the source named does not state it. Sizes are decimal: 1 MB is 10^6 bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of a source."""

    system: str
    model: str
    prove: str | None
    verify: str | None
    proof: str | None
    hardware: str | None
    source: str


@dataclass(frozen=True)
class Needs:
    """What a system's verifier holds, and what its proofs hide."""

    system: str
    weights: str | None
    setup: str | None
    keys: str | None
    hides: str | None


DEEP_PROVE = "[README](https://github.com/Lagrange-Labs/deep-prove), 2026"
DEEP_PROVE_2025 = (
    "[README of 2025](https://github.com/Lagrange-Labs/deep-prove/blob/2bbc4d95d52ccc3f4db143da20f4763553095c7a/README.md)"
)
ATLAS = "[README](https://github.com/ICME-Lab/jolt-atlas), August 2026"
ATLAS_BLINDFOLD = "[pull request 239](https://github.com/ICME-Lab/jolt-atlas/pull/239), May 2026"
EZKL_BLOG = "[EZKL's blog](https://blog.ezkl.xyz/post/nanogpt/), as quoted in the README of Jolt Atlas"
ZKLLM = "[paper](https://arxiv.org/abs/2404.16109), CCS 2024, abstract"
ZKTORCH = "[paper](https://arxiv.org/abs/2507.07031), July 2025, abstract"
ZKGPT = "artefact of the paper zkGPT, USENIX Security 2025"
ZKGPT_AUDIT = "[audit](https://github.com/yedidel/zkGPT-Auditing) and its paper, 2026: the same with range checks by lookup"
FLASHPROVE = "[README and paper](https://github.com/anthropics/FlashProve), version 0.16.0, 2026"
VERINF = "[README](https://github.com/JamesPetrie/VerInf), 2026; it says what that run does not bind"

FIGURES = (
    Figure("DeepProve", "CNN, 264k parameters", "1.24 s", "599 ms", None, None, DEEP_PROVE_2025),
    Figure("DeepProve", "dense, 4M parameters", "2.34 s", "520 ms", None, None, DEEP_PROVE_2025),
    Figure("DeepProve", "GPT-2, 512 tokens", "7.6 min", "1.3 s", "11.2 MB", "24 cores, 504 GB", DEEP_PROVE),
    Figure("DeepProve", "Gemma 3, 512 tokens", "19 min", "4.3 s", "28 MB", "24 cores, 504 GB", DEEP_PROVE),
    Figure("Jolt Atlas", "nanoGPT, 250k parameters", "2.29 s", "127 ms", None, "Apple M3, 16 GB", ATLAS),
    Figure("EZKL", "nanoGPT, 250k parameters", "237 s", "340 ms", None, None, EZKL_BLOG),
    Figure("Jolt Atlas", "GPT-2, 16 tokens", "12.8 s", "1.04 s", "2.56 MB", "Apple M3, 14 cores", ATLAS_BLINDFOLD),
    Figure("Jolt Atlas, hiding", "GPT-2, 16 tokens", "23.4 s", "2.43 s", "2.80 MB", "Apple M3, 14 cores",
           ATLAS_BLINDFOLD),
    Figure("zkGPT", "GPT-2, 64 tokens", "20.7 s", "0.3 s", "88 KB", "32 threads", ZKGPT),
    Figure("zkGPT, corrected", "GPT-2, 64 tokens", "101 s", "309 s", "1.28 MB", "AMD EPYC 7J13, 30 cores, 200 GB",
           ZKGPT_AUDIT),
    Figure("zkLLM", "13B parameters", "below 15 min", None, "below 200 KB", "GPU (CUDA)", ZKLLM),
    Figure("ZKTorch", "several", "up to 6 times faster than a general framework", None,
           "at least 3 times smaller than specialised protocols", None, ZKTORCH),
    Figure("FlashProve", "Llama 4 Maverick, 400B, batches of 24 prompts", "110 prefill tokens a second",
           "seconds, on a CPU", "18.7 to 18.8 MB, one output token", "one NVIDIA H100", FLASHPROVE),
    Figure("VerInf", "Llama 4 Maverick, 400B, 1,000 tokens", "14.3 h", "17.7 h, 20 cores", "93.6 GB",
           "one NVIDIA DGX Spark", VERINF),
    Figure("VerInf", "Llama 2 7B, 1,000 tokens", "44 min", "23 min", None, None, VERINF),
)

NEEDS = (
    Needs("DeepProve, 2025", None, "none: hash-based (Basefold)", None, "no blinding in the code of that time"),
    Needs("DeepProve, 2026", None, "yes: HyperKZG", None, None),
    Needs("Jolt Atlas", None, "yes: HyperKZG; none on a branch with Dory", None, "with BlindFold"),
    Needs("zkLLM", "no: commitments", "none: Hyrax", None, "yes; interactive as published"),
    Needs("zkGPT", None, "none: Hyrax", None, "yes"),
    Needs("ZKTorch", "no", "yes: powers of tau", None, "yes"),
    Needs("FlashProve", "no: a commitment id and public keys", "none: hash-based", None,
          "yes, but for one bit a request"),
    Needs("VerInf", "no: commitments", "none: hash-based", None, "yes; interactive"),
)
