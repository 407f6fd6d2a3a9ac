//! Which elements of a value each window has under each of its taps.

use haca_graph::Window;

/// Windows over the positions of a value. A value that is read element by element has one window with one tap at each
/// position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Height and width of the source, and how the window moves; `None` for a window at each position.
    moving: Option<([u32; 2], Window)>,
    positions: usize,
    taps: usize,
}

/// Windows that stand behind one another: window `position + i` has element `from + i step` of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first window.
    pub position: usize,
    /// The position of its element.
    pub from: usize,
    /// Number of windows.
    pub count: usize,
    /// Positions from one element to the next, at least 1.
    pub step: usize,
}

impl Windows {
    /// One window with one tap at each of `positions` positions.
    pub const fn each(positions: usize) -> Self {
        Self {
            moving: None,
            positions,
            taps: 1,
        }
    }

    /// The windows over a source of the given height and width; `None` when none fits.
    pub fn over(dims: [u32; 2], window: &Window) -> Option<Self> {
        let (rows, columns) = (window.height.count(dims[0])?, window.width.count(dims[1])?);
        Some(Self {
            moving: Some((dims, *window)),
            positions: (rows as usize).checked_mul(columns as usize)?,
            taps: (window.height.kernel as usize).checked_mul(window.width.kernel as usize)?,
        })
    }

    /// Number of windows.
    pub const fn positions(&self) -> usize {
        self.positions
    }

    /// Elements of one window.
    pub const fn taps(&self) -> usize {
        self.taps
    }

    /// Calls `visit` with each run of windows that have an element of the source under tap `tap`, in the order of the
    /// windows. The others have it in the padding.
    pub fn runs(&self, tap: usize, mut visit: impl FnMut(Run)) {
        let Some(([height, width], window)) = &self.moving else {
            visit(Run {
                position: 0,
                from: 0,
                count: self.positions,
                step: 1,
            });
            return;
        };
        let kernel = window.width.kernel.max(1) as usize;
        let (a, b) = ((tap / kernel) as u32, (tap % kernel) as u32);
        let columns = window.width.count(*width).unwrap_or(0);
        let inside = |column: &u32| window.width.element(*column, b, *width).is_some();
        // The windows that see the source do so without a gap.
        let Some(first) = (0..columns).find(inside) else {
            return;
        };
        let behind = (first..columns).find(|column| !inside(column)).unwrap_or(columns);
        let from = window.width.element(first, b, *width).unwrap_or(0);
        for row in 0..window.height.count(*height).unwrap_or(0) {
            let Some(source) = window.height.element(row, a, *height) else {
                continue;
            };
            visit(Run {
                position: row as usize * columns as usize + first as usize,
                from: source as usize * *width as usize + from as usize,
                count: (behind - first) as usize,
                step: window.width.stride as usize,
            });
        }
    }

    /// Calls `visit` with each window that has an element of the source under tap `tap`, and with the position of that
    /// element, in the order of the windows. The others have it in the padding.
    pub fn under(&self, tap: usize, mut visit: impl FnMut(usize, usize)) {
        self.runs(tap, |run| {
            (0..run.count).for_each(|i| visit(run.position + i, run.from + i * run.step));
        });
    }
}
