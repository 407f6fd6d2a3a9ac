//! Where the elements of int8 values come from.

/// Where committed or public elements stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A graph input, by index.
    Input(usize),
    /// The results of a requantisation, by index into [`Circuit::requantises`](crate::circuit::Circuit::requantises).
    Requantise(usize),
    /// The larger operands of a stage, by index into [`Circuit::stages`](crate::circuit::Circuit::stages).
    Stage(usize),
}

/// One element of an arranged value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// A constant.
    Constant(i8),
    /// An element of a source, by its row-major index.
    Of(Source, u32),
}

/// Where the elements of a value come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The elements of one source, in its order.
    Whole(Source),
    /// Each element from somewhere.
    Arranged(Vec<Element>),
}

/// An int8 value, seen as positions (all dimensions but the last) times channels (the last).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Product of all dimensions but the last.
    pub positions: usize,
    /// The last dimension; 1 for a single element.
    pub channels: usize,
    /// Where the elements come from.
    pub origin: Origin,
}

impl Value {
    /// Number of elements.
    pub const fn elements(&self) -> usize {
        self.positions.saturating_mul(self.channels)
    }

    /// Where element `index`, row-major, comes from.
    pub fn element(&self, index: usize) -> Option<Element> {
        match &self.origin {
            Origin::Whole(source) => Some(Element::Of(*source, u32::try_from(index).ok()?)),
            Origin::Arranged(elements) => elements.get(index).copied(),
        }
    }

    /// Whether no element is committed: it follows from the inputs of the graph.
    pub fn is_public(&self) -> bool {
        let public = |source: &Source| matches!(source, Source::Input(_));
        match &self.origin {
            Origin::Whole(source) => public(source),
            Origin::Arranged(elements) => elements.iter().all(|element| match element {
                Element::Constant(_) => true,
                Element::Of(source, _) => public(source),
            }),
        }
    }
}
