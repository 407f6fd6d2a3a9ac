//! Which instructions the kernels use.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::{amx, matrix::is_exact};

/// The instructions of one family of kernels. A path exists only for instructions that the processor has: the
/// soundness of the kernels rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    kind: Kind,
    tiles: Option<Tiles>,
}

/// Tile registers, for products of matrices with many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tiles {
    /// AMX: products of signed bytes, sixteen rows of 64 bytes at a time.
    #[cfg(target_arch = "x86_64")]
    Amx {
        /// Also where they don't pay, so that an examination or a test sees them.
        everywhere: bool,
    },
    /// The kernel of AMX over tiles in memory.
    #[cfg(test)]
    Software,
    /// Tiles in memory that are wrong.
    #[cfg(test)]
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Plain Rust.
    Portable,
    /// AVX2: products of 16-bit integers.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-VNNI: products of bytes, 256 bits wide.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 with VNNI: products of bytes, 512 bits wide.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// The fastest path of this processor.
    pub(crate) fn best() -> Self {
        static BEST: OnceLock<Path> = OnceLock::new();
        *BEST.get_or_init(|| Self::all().last().copied().unwrap_or(Self::of(Kind::Portable)))
    }

    /// All paths of this processor, the fastest last.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut, reason = "one path only"))]
        let mut all = vec![Self::of(Kind::Portable)];
        #[cfg(test)]
        all.push(Self::software_tiles());
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2");
            let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            let vnni = avx2 && avx512 && has!("avx512vnni");
            all.extend(avx2.then_some(Self::of(Kind::Avx2)));
            all.extend((avx2 && has!("avxvnni")).then_some(Self::of(Kind::AvxVnni)));
            all.extend(vnni.then_some(Self::of(Kind::Avx512)));
            if vnni && Self::has_amx() {
                #[cfg(test)]
                all.push(Self::amx(true));
                all.push(Self::amx(false));
            }
        }
        all
    }

    const fn of(kind: Kind) -> Self {
        Self { kind, tiles: None }
    }

    /// AMX beside AVX-512.
    #[cfg(target_arch = "x86_64")]
    const fn amx(everywhere: bool) -> Self {
        Self {
            kind: Kind::Avx512,
            tiles: Some(Tiles::Amx { everywhere }),
        }
    }

    /// Whether AMX is there and multiplies as plain sums do; found out once. AVX-512 is there.
    #[cfg(target_arch = "x86_64")]
    fn has_amx() -> bool {
        static AMX: OnceLock<bool> = OnceLock::new();
        *AMX.get_or_init(|| amx::processor::is_there() && is_exact(Self::amx(true)))
    }

    #[cfg(test)]
    pub(super) const fn software_tiles() -> Self {
        Self {
            kind: Kind::Portable,
            tiles: Some(Tiles::Software),
        }
    }

    /// A path that is not exact.
    #[cfg(test)]
    pub(super) const fn wrong_tiles() -> Self {
        Self {
            kind: Kind::Portable,
            tiles: Some(Tiles::Wrong),
        }
    }

    pub(super) const fn kind(self) -> Kind {
        self.kind
    }

    pub(super) const fn tiles(self) -> Option<Tiles> {
        self.tiles
    }

    /// The instructions in words.
    pub(crate) const fn name(self) -> &'static str {
        match (self.tiles, self.kind) {
            (Some(_), _) => "AMX and AVX-512 VNNI",
            (None, Kind::Portable) => "plain Rust",
            #[cfg(target_arch = "x86_64")]
            (None, Kind::Avx2) => "AVX2",
            #[cfg(target_arch = "x86_64")]
            (None, Kind::AvxVnni) => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            (None, Kind::Avx512) => "AVX-512 VNNI",
        }
    }
}
