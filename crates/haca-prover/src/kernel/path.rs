//! Which instructions the kernels use.

use std::sync::OnceLock;

/// The instructions of one family of kernels. A path exists only for instructions that the processor has: the
/// soundness of the kernels rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path(Kind);

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
        *BEST.get_or_init(|| Self::all().last().copied().unwrap_or(Self(Kind::Portable)))
    }

    /// All paths of this processor, the fastest last.
    pub(crate) fn all() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "one path only"))]
        let mut all = vec![Self(Kind::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2");
            let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
            all.extend(avx2.then_some(Self(Kind::Avx2)));
            all.extend((avx2 && has!("avxvnni")).then_some(Self(Kind::AvxVnni)));
            all.extend((avx2 && avx512 && has!("avx512vnni")).then_some(Self(Kind::Avx512)));
        }
        all
    }

    pub(super) const fn kind(self) -> Kind {
        self.0
    }
}
