//! Windows over images `[height, width, channels]`, with the padding around them.

use haca_graph::{Window, WindowAxis};

use crate::kernel::Reduction;

/// An image with zeros around it, so that each tap of each window stands on an element.
#[derive(Clone, Debug)]
pub(crate) struct Padding {
    /// Rows of the image.
    height: usize,
    /// Elements of one row of the image.
    line: usize,
    /// Rows of zeros above.
    above: usize,
    /// Elements of zeros in front of each row.
    front: usize,
    /// Elements of one padded row.
    padded_line: usize,
    /// Elements of the padded image.
    elements: usize,
    /// Whether there is no padding.
    is_empty: bool,
}

/// Where the windows of one node stand on its padded image.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(crate) padding: Padding,
    /// Windows along height and width.
    pub(crate) counts: [usize; 2],
    channels: usize,
    window: Window,
}

impl Geometry {
    /// The windows over an image of shape `dims`.
    pub(crate) fn new(dims: [usize; 3], window: &Window) -> Self {
        let [height, width, channels] = dims;
        let (h, w) = (&window.height, &window.width);
        let padded = |axis: &WindowAxis, length| axis.before as usize + length + axis.after as usize;
        let padded_line = padded(w, width) * channels;
        let padding = Padding {
            height,
            line: width * channels,
            above: h.before as usize,
            front: w.before as usize * channels,
            padded_line,
            elements: padded(h, height) * padded_line,
            is_empty: [h.before, h.after, w.before, w.after] == [0; 4],
        };
        let count = |axis: &WindowAxis, length| axis.count(length as u32).unwrap_or(0) as usize;
        Self {
            padding,
            counts: [count(h, height), count(w, width)],
            channels,
            window: *window,
        }
    }

    /// Where channel 0 under the first tap of each window stands, row by row.
    pub(crate) fn starts(&self) -> Vec<usize> {
        let [rows, columns] = self.counts;
        let line = self.window.height.stride as usize * self.padding.padded_line;
        let step = self.window.width.stride as usize * self.channels;
        (0..rows)
            .flat_map(|y| (0..columns).map(move |x| y * line + x * step))
            .collect()
    }

    /// Where channel 0 under each tap stands, counted from the first tap.
    pub(crate) fn taps(&self) -> Vec<usize> {
        let (h, w) = (&self.window.height, &self.window.width);
        let line = h.dilation as usize * self.padding.padded_line;
        let step = w.dilation as usize * self.channels;
        (0..h.kernel as usize)
            .flat_map(|a| (0..w.kernel as usize).map(move |b| a * line + b * step))
            .collect()
    }

    /// The taps of a group of `channels` channels in pieces that stand behind one another: where each piece begins,
    /// and its length.
    pub(crate) fn pieces(&self, channels: usize) -> (Vec<usize>, usize) {
        let w = &self.window.width;
        if channels == self.channels && (w.dilation == 1 || w.kernel == 1) {
            let rows = self.taps().into_iter().step_by(w.kernel as usize);
            return (rows.collect(), w.kernel as usize * channels);
        }
        (self.taps(), channels)
    }
}

impl Padding {
    /// The padded image, with zeros behind it up to `reach` elements, and the bits of `flip` flipped in all of them; the
    /// image itself where it is the same.
    pub(crate) fn apply<'a>(
        &self,
        image: &'a [i8],
        reach: usize,
        flip: u8,
        scratch: &'a mut Vec<i8>,
    ) -> &'a [i8] {
        if self.is_empty {
            return reaching(image, reach, flip, scratch);
        }
        let flip = flip.cast_signed();
        scratch.clear();
        scratch.resize(self.elements.max(reach), flip);
        let rows = scratch
            .chunks_mut(self.padded_line.max(1))
            .skip(self.above)
            .take(self.height);
        for (row, elements) in rows.zip(image.chunks_exact(self.line.max(1))) {
            let row = &mut row[self.front..self.front + self.line];
            row.iter_mut()
                .zip(elements)
                .for_each(|(to, from)| *to = from ^ flip);
        }
        scratch
    }
}

/// Elements with zeros behind them where they are fewer than `reach`, and the bits of `flip` flipped in all of them.
pub(crate) fn reaching<'a>(elements: &'a [i8], reach: usize, flip: u8, scratch: &'a mut Vec<i8>) -> &'a [i8] {
    if flip == 0 && elements.len() >= reach {
        return elements;
    }
    let flip = flip.cast_signed();
    scratch.clear();
    scratch.extend(elements.iter().map(|x| x ^ flip));
    scratch.resize(elements.len().max(reach), flip);
    scratch
}

/// The rows and columns under the windows of an image, padding left out.
pub(crate) fn reduction(dims: [usize; 3], window: &Window) -> Reduction {
    let [height, width, channels] = dims;
    let under = |axis: &WindowAxis, length: usize| -> Vec<Vec<usize>> {
        let length = length as u32;
        let of = |y| (0..axis.kernel).filter_map(move |tap| axis.element(y, tap, length));
        let windows = 0..axis.count(length).unwrap_or(0);
        windows.map(|y| of(y).map(|i| i as usize).collect()).collect()
    };
    let columns = under(&window.width, width);
    let taps = |columns: &Vec<usize>| -> Option<Vec<usize>> {
        let (first, others) = columns.split_first()?;
        Some(others.iter().map(|column| column - first).collect())
    };
    let first = columns.first().and_then(taps);
    let alike = columns.iter().all(|columns| taps(columns) == first);
    Reduction {
        rows: under(&window.height, height),
        taps: first.filter(|_| alike),
        columns,
        height,
        width,
        channels,
    }
}
