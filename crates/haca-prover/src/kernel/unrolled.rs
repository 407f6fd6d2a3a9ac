//! Loops that the compiler must not keep.

/// Runs the body for each index below `count`, at most 8, each time in code of its own: the compiler keeps arrays in
/// registers only where it sees the indices, and leaves some loops of constant length as they are.
macro_rules! unrolled {
    ($index:ident < $count:expr, $body:block) => {
        unrolled!(@ $index, $count, $body, 0 1 2 3 4 5 6 7)
    };
    (@ $index:ident, $count:expr, $body:block, $($value:literal)*) => {
        $(if $value < $count {
            let $index: usize = $value;
            $body
        })*
    };
}

pub(super) use unrolled;
