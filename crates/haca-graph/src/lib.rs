//! Integer graphs: ops, shapes, exact semantics, bounds, reference interpreter.
