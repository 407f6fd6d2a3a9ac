//! The tile registers of the processor.
#![allow(
    unsafe_code,
    reason = "instructions without intrinsics; each block says why it is sound"
)]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

use super::super::matrix::{LANES, Task};
use super::tiles::{BYTES, Configuration, ROWS, Tiles, reaches};

/// The tiles of this thread. Not `Send`: it stays on the thread whose registers it stands for.
struct Processor(core::marker::PhantomData<*const ()>);

/// Writes the results of a task.
///
/// # Safety
///
/// [`is_there`] has said so in this process.
pub(in super::super) unsafe fn multiply(task: &Task<'_>, output: &mut [i32]) {
    super::multiply::<Processor>(task, output);
}

/// Whether processor and system have tiles of the wanted size and int8 products. Asks the system to let this process
/// use them, which it also refuses where a signal stack is too small for tiles.
pub(in super::super) fn is_there() -> bool {
    processor_has() && system_saves() && system_grants()
}

/// Leaf 7: AMX-TILE and AMX-INT8. Leaf 1Dh: tiles of palette 1.
fn processor_has() -> bool {
    if __cpuid(0).eax < 0x1d {
        return false;
    }
    let features = __cpuid_count(7, 0).edx;
    let (palettes, palette) = (__cpuid_count(0x1d, 0).eax, __cpuid_count(0x1d, 1));
    let (row_bytes, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    let tile = features >> 24 & 1 == 1 && features >> 25 & 1 == 1;
    tile && palettes >= 1 && row_bytes == BYTES as u32 && rows == ROWS as u32 && tiles >= 8
}

/// Bits 17 and 18 of XCR0: configuration and data of tiles.
fn system_saves() -> bool {
    let has_xsave = __cpuid(1).ecx >> 27 & 1 == 1;
    // SAFETY: leaf 1 says that the system has turned XGETBV on.
    has_xsave && unsafe { state_components() } >> 17 & 3 == 3
}

#[target_feature(enable = "xsave")]
fn state_components() -> u64 {
    // SAFETY: register 0 is there where the instruction is.
    unsafe { _xgetbv(0) }
}

/// Linux wants a process to ask for the state that tiles take, once for all its threads.
fn system_grants() -> bool {
    const ARCH_PRCTL: u64 = 158;
    const ARCH_REQ_XCOMP_PERM: u64 = 0x1023;
    const XFEATURE_XTILEDATA: u64 = 18;
    if !cfg!(target_os = "linux") {
        return false;
    }
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that reads and writes no memory of this process; the kernel changes rax, rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// Calls a macro for the tile of a number: the name of a register is part of an instruction.
macro_rules! by_tile {
    ($tile:expr, $instruction:ident) => {
        match $tile {
            0 => $instruction!("tmm0"),
            1 => $instruction!("tmm1"),
            2 => $instruction!("tmm2"),
            3 => $instruction!("tmm3"),
            4 => $instruction!("tmm4"),
            5 => $instruction!("tmm5"),
            6 => $instruction!("tmm6"),
            _ => $instruction!("tmm7"),
        }
    };
}

// The compiler gives tile registers to nothing, so they hold between these blocks what the blocks put there. Only
// `multiply` makes this type: whoever calls it says that the instructions are there.
impl Tiles for Processor {
    fn configured(configuration: &Configuration) -> Self {
        // SAFETY: 64 readable bytes, of a configuration that the processor has tiles for.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) configuration, options(nostack, readonly, preserves_flags));
        }
        Self(core::marker::PhantomData)
    }

    #[inline(always)]
    fn load<const TILE: usize, E: Copy>(&mut self, from: &[E], stride: usize) {
        assert!(reaches(from, stride));
        let first = from.as_ptr();
        macro_rules! load {
            ($tile:tt) => {
                // SAFETY: sixteen rows of 64 bytes, `stride` apart, are inside `from`.
                unsafe {
                    asm!(
                        concat!("tileloadd ", $tile, ", [{first} + {stride}]"),
                        first = in(reg) first,
                        stride = in(reg) stride,
                        out($tile) _,
                        options(nostack, readonly, preserves_flags),
                    );
                }
            };
        }
        by_tile!(TILE, load);
    }

    #[inline(always)]
    fn dot<const SUM: usize>(&mut self) {
        macro_rules! dot {
            ($sum:tt, $rows:tt, $blocks:tt) => {
                // SAFETY: reads and writes tiles, all of which are configured.
                unsafe {
                    asm!(
                        concat!("tdpbssd ", $sum, ", ", $rows, ", ", $blocks),
                        out($sum) _,
                        options(nostack, nomem, preserves_flags),
                    );
                }
            };
        }
        match SUM {
            0 => dot!("tmm0", "tmm4", "tmm6"),
            1 => dot!("tmm1", "tmm4", "tmm7"),
            2 => dot!("tmm2", "tmm5", "tmm6"),
            _ => dot!("tmm3", "tmm5", "tmm7"),
        }
    }

    #[inline(always)]
    fn store<const TILE: usize>(&self) -> [[i32; LANES]; ROWS] {
        let mut sums = [[0i32; LANES]; ROWS];
        let first = sums.as_mut_ptr();
        macro_rules! store {
            ($tile:tt) => {
                // SAFETY: `sums` is sixteen rows of 64 writable bytes behind one another.
                unsafe {
                    asm!(
                        concat!("tilestored [{first} + {stride}], ", $tile),
                        first = in(reg) first,
                        stride = in(reg) BYTES,
                        options(nostack, preserves_flags),
                    );
                }
            };
        }
        by_tile!(TILE, store);
        sums
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // SAFETY: puts the tiles of this thread back to what they are without a configuration.
        unsafe {
            asm!(
                "tilerelease",
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack, nomem, preserves_flags),
            );
        }
    }
}
