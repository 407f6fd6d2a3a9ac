//! Resize to the nearest element by whole factors, DepthToSpace and SpaceToDepth.

use super::{Importer, Node, Operand, View};
use crate::OnnxError;
use crate::initializer::{Constant, Elements};

impl Importer {
    pub(super) fn resize(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let mode = node.text("mode", "nearest");
        if mode != "nearest" {
            return Err(node.attribute("mode", mode, "nearest"));
        }
        let factors = self.factors(node, &view)?;
        check_rounding(node, &factors)?;
        // Each axis becomes the axis and one of as many copies behind it.
        let dims = view.dims();
        let split: Vec<usize> = dims.iter().flat_map(|d| [*d, 1]).collect();
        let copied: Vec<usize> = dims.iter().zip(&factors).flat_map(|(d, f)| [*d, *f]).collect();
        let target: Vec<usize> = dims.iter().zip(&factors).map(|(d, f)| d * f).collect();
        if crate::initializer::element_count(&target).is_none() && target.len() <= haca_wire::limit::RANK {
            return Err(node.shape("the result", &target, "at most 2^22 elements"));
        }
        let batch = view.batch.map(|b| 2 * b);
        let split = match view.reshaped(&split, batch) {
            Some(split) => split,
            None => View::plain(self.plain(node.at, &view)?, &split, batch),
        };
        let copied = self.expanded(node, &split, &copied, None)?;
        self.regrouped(node, &copied, &target, view.batch)
    }

    /// The whole factor of each axis.
    fn factors(&self, node: &Node<'_>, view: &View) -> Result<Vec<usize>, OnnxError> {
        let dims = view.dims();
        let refuse = |found: String| {
            node.attribute(
                "scales",
                found,
                "whole factors from 1 on, none for the batch axis",
            )
        };
        let (scales, sizes) = match (node.at.op.as_str(), node.opset) {
            ("Upsample", ..=8) => (None, None),
            ("Upsample", _) | (_, 10) => (Some(1), None),
            _ => (Some(2), Some(3)),
        };
        let stretches = node.text("keep_aspect_ratio_policy", "stretch") == "stretch";
        let attribute = node.find("scales").map(|a| a.floats.clone());
        let from_input = |index: Option<usize>| {
            index
                .filter(|i| node.has_input(*i))
                .map(|i| self.constant(node, i))
                .transpose()
        };
        let reals = match (attribute, from_input(scales)?) {
            (Some(reals), _) => reals,
            (None, Some(constant)) if constant.len() > 0 => constant.reals(),
            _ => match from_input(sizes)? {
                Some(Constant {
                    elements: Elements::Int(sizes),
                    ..
                }) if sizes.len() == dims.len() && stretches => sizes
                    .iter()
                    .zip(&dims)
                    .map(|(size, dim)| *size as f32 / *dim as f32)
                    .collect(),
                _ => return Err(refuse("missing".to_owned())),
            },
        };
        let reals = match node.ints("axes") {
            Some(axes) if axes.len() == reals.len() => {
                let mut all = vec![1.0; dims.len()];
                for (axis, real) in axes.iter().zip(&reals) {
                    all[node.axis(*axis, dims.len())?] = *real;
                }
                all
            }
            _ => reals,
        };
        let whole = |(axis, real): (usize, &f32)| {
            let fits = real.fract() == 0.0 && (1.0..=1024.0).contains(real);
            let batch = view.batch == Some(axis) && *real != 1.0 && self.batch.counts();
            (fits && !batch).then_some(*real as usize)
        };
        let factors: Option<Vec<usize>> = reals.iter().enumerate().map(whole).collect();
        factors
            .filter(|f| f.len() == dims.len())
            .ok_or_else(|| refuse(format!("{reals:?} for {dims:?}")))
    }

    pub(super) fn depth_to_space(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let (block, [n, c, h, w]) = block(node, &view)?;
        if !c.is_multiple_of(block * block) {
            return Err(node.shape(
                "the input",
                &view.dims(),
                "channels that are a multiple of the block",
            ));
        }
        let out = c / (block * block);
        let (split, order) = if node.text("mode", "DCR") == "CRD" {
            ([n, out, block, block, h, w], [0, 1, 4, 2, 5, 3])
        } else {
            ([n, block, block, out, h, w], [0, 3, 4, 1, 5, 2])
        };
        self.shuffled(node, &view, &split, &order, &[n, out, h * block, w * block])
    }

    pub(super) fn space_to_depth(&mut self, node: &Node<'_>) -> Result<Operand, OnnxError> {
        let view = self.value(node, 0)?;
        let (block, [n, c, h, w]) = block(node, &view)?;
        if !h.is_multiple_of(block) || !w.is_multiple_of(block) {
            return Err(node.shape(
                "the input",
                &view.dims(),
                "sides that are a multiple of the block",
            ));
        }
        let (h, w) = (h / block, w / block);
        let split = [n, c, h, block, w, block];
        let order = if node.text("mode", "DCR") == "CRD" {
            [0, 1, 3, 5, 2, 4]
        } else {
            [0, 3, 5, 1, 2, 4]
        };
        self.shuffled(node, &view, &split, &order, &[n, c * block * block, h, w])
    }

    /// Reshape, Transpose, Reshape.
    fn shuffled(
        &mut self,
        node: &Node<'_>,
        view: &View,
        split: &[usize],
        order: &[usize],
        target: &[usize],
    ) -> Result<Operand, OnnxError> {
        match self.regrouped(node, view, split, view.batch)? {
            Operand::Value(split) => self.regrouped(node, &split.transposed(order), target, view.batch),
            other => Ok(other),
        }
    }
}

/// Block size and dimensions of an image.
fn block(node: &Node<'_>, view: &View) -> Result<(usize, [usize; 4]), OnnxError> {
    let size = node.int("blocksize", 0);
    let block = usize::try_from(size).ok().filter(|b| (1..=1024).contains(b));
    let block = block.ok_or_else(|| node.attribute("blocksize", size.to_string(), "1 to 1024"))?;
    let dims = view.dims();
    let dims = <[usize; 4]>::try_from(dims.as_slice())
        .map_err(|_| node.shape("the input", &dims, "[n, c, h, w]"))?;
    Ok((block, dims))
}

/// Refuses roundings with which a whole factor does not repeat each element.
fn check_rounding(node: &Node<'_>, factors: &[usize]) -> Result<(), OnnxError> {
    if factors.iter().all(|f| *f == 1) || node.at.op == "Upsample" || node.opset == 10 {
        return Ok(());
    }
    let place = node.text("coordinate_transformation_mode", "half_pixel");
    let rounding = node.text("nearest_mode", "round_prefer_floor");
    let repeats = |factor: usize| {
        (0..2 * factor).all(|i| {
            let (x, f) = (i as f64, factor as f64);
            let at = if place == "asymmetric" {
                x / f
            } else {
                (x + 0.5) / f - 0.5
            };
            let nearest = match rounding.as_str() {
                "floor" => at.floor(),
                "ceil" => at.ceil(),
                "round_prefer_ceil" => (at + 0.5).floor(),
                _ => (at - 0.5).ceil(),
            };
            nearest.clamp(0.0, 1.0) == f64::from(u8::from(i >= factor))
        })
    };
    let known = [
        "asymmetric",
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
    ]
    .contains(&place.as_str());
    if known && factors.iter().all(|f| repeats(*f)) {
        return Ok(());
    }
    Err(node.attribute(
        "coordinate_transformation_mode",
        format!("{place} with {rounding}"),
        "asymmetric with floor, or half_pixel with round_prefer_floor",
    ))
}
