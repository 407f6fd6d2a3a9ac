//! What the kernel wants of tile registers.

use super::super::matrix::LANES;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;
/// Bytes of a row of a tile.
pub(super) const BYTES: usize = 64;

/// The operand of `ldtilecfg`: Intel's manual, volume 1, "Intel AMX and the XSAVE feature set", palette 1.
#[repr(C, align(64))]
pub(super) struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row of each tile.
    pub(super) row_bytes: [u16; 16],
    /// Rows of each tile.
    pub(super) rows: [u8; 16],
}

/// Eight tiles of sixteen rows of 64 bytes.
pub(super) const CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// The tile registers of one thread, from `ldtilecfg` to `tilerelease`.
pub(super) trait Tiles {
    /// Tiles with a configuration.
    fn configured(configuration: &Configuration) -> Self;

    /// `tileloadd`: row `r` of tile `TILE` becomes the bytes of `from` from `r * stride` on.
    ///
    /// # Panics
    ///
    /// When the rows reach beyond `from`.
    fn load<const TILE: usize, E: Copy>(&mut self, from: &[E], stride: usize);

    /// `tdpbssd`: adds to tile `SUM`, of int32, the products of tile `4 + SUM / 2`, rows of int8, and tile
    /// `6 + SUM % 2`, whose rows have the int8 of four rows of the other operand side by side. Wraps.
    fn dot<const SUM: usize>(&mut self);

    /// `tilestored`: the int32 of a tile.
    fn store<const TILE: usize>(&self) -> [[i32; LANES]; ROWS];
}

/// Whether the rows of a tile that stand `stride` bytes apart are inside `from`.
pub(super) fn reaches<E>(from: &[E], stride: usize) -> bool {
    (ROWS - 1) * stride + BYTES <= size_of_val(from)
}
