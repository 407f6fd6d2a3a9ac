//! The integer graph under construction.

use std::collections::BTreeMap;

use haca_graph::{Function, FunctionKind, Op, ParamSpec, Term, ValueId};
use haca_wire::{DType, Scale, Tensor, TensorSpec};

use super::layer::Linear;
use super::plan::{Plan, accumulates, requantises};
use super::requantisation::{Requantisation, coefficients, nearest, power_of_two, rounded, short};
use super::width::Wide;
use super::{Options, name_of};
use crate::calibration::Ranges;
use crate::float_model::{FloatFunction, FloatOp};
use crate::scale::{scale_at_least, scale_to_f64};
use crate::{FloatModel, OnnxError};

/// An integer value that stands for a float value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) id: ValueId,
    pub(super) dtype: DType,
    pub(super) scale: Scale,
    /// The low digit of wide integers, whose high digit is `id`.
    pub(super) digit: Option<Digit>,
}

/// A low digit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digit {
    pub(super) id: ValueId,
    pub(super) bits: u8,
    /// Largest wide integer.
    pub(super) high: i16,
}

impl Form {
    /// The values that make it up, with coefficients: itself, or its digits.
    pub(super) fn parts(&self) -> Vec<(ValueId, i32)> {
        match self.digit {
            None => vec![(self.id, 1)],
            Some(digit) => vec![(self.id, 1 << digit.bits), (digit.id, 1)],
        }
    }

    fn new(id: ValueId, dtype: DType, scale: Scale) -> Self {
        Self {
            id,
            dtype,
            scale,
            digit: None,
        }
    }
}

/// A sum that requantisations read.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    pub(super) id: ValueId,
    /// Real value of one step: one for all elements, or one per channel.
    pub(super) steps: Vec<f64>,
    /// The one scale of all channels, where the accumulator is shown.
    pub(super) shared: Option<Scale>,
    /// The requantisation that scales or coefficients were chosen for, and the float value it makes.
    pub(super) exact: Option<(usize, Requantisation)>,
    /// Whether multipliers of few bits do.
    pub(super) short: bool,
}

impl Accumulator {
    pub(super) fn of(steps: Vec<f64>) -> Self {
        Self {
            id: ValueId(0),
            steps,
            shared: None,
            exact: None,
            short: false,
        }
    }
}

pub(super) struct Builder<'a> {
    model: &'a FloatModel,
    pub(super) ranges: &'a Ranges,
    pub(super) options: &'a Options,
    pub(super) plan: Plan,
    accumulators: Vec<Option<Accumulator>>,
    raw: Vec<Option<Form>>,
    int8: Vec<Option<Form>>,
    pub(super) inputs: Vec<TensorSpec>,
    pub(super) params: Vec<ParamSpec>,
    pub(super) tensors: Vec<Tensor>,
    pub(super) nodes: Vec<Op>,
    pub(super) linears: Vec<Linear>,
}

impl<'a> Builder<'a> {
    /// Starts with the inputs of the model.
    pub(super) fn new(
        model: &'a FloatModel,
        ranges: &'a Ranges,
        options: &'a Options,
        wide: BTreeMap<usize, Wide>,
    ) -> Result<Self, OnnxError> {
        let values = model.shapes.len();
        let mut builder = Self {
            model,
            ranges,
            options,
            plan: Plan::new(model, ranges, wide),
            accumulators: vec![None; values],
            raw: vec![None; values],
            int8: vec![None; values],
            inputs: Vec::new(),
            params: Vec::new(),
            tensors: Vec::new(),
            nodes: Vec::new(),
            linears: Vec::new(),
        };
        for (value, name) in model.inputs.iter().enumerate() {
            let scale = builder.plan.scale(value)?;
            let fallback = format!("input{value}");
            let mut name = name_of(name, &fallback);
            if builder.inputs.iter().any(|spec| spec.name == name) {
                name = name_of(&fallback, &fallback);
            }
            let shape = model.shapes[value].clone();
            builder.inputs.push(TensorSpec {
                name,
                dtype: DType::I8,
                shape,
                scale,
            });
            let form = Form::new(value_id(value), DType::I8, scale);
            builder.raw[value] = Some(form);
            builder.int8[value] = Some(form);
        }
        Ok(builder)
    }

    /// Appends an op and returns its value.
    pub(super) fn push(&mut self, op: Op) -> ValueId {
        self.nodes.push(op);
        value_id(self.inputs.len() + self.nodes.len() - 1)
    }

    /// The form of a value that outputs show.
    pub(super) fn raw(&self, value: usize) -> Result<Form, OnnxError> {
        let raw = self.raw.get(value).copied().flatten();
        raw.map_or_else(|| self.int8(value), Ok)
    }

    pub(super) fn int8(&self, value: usize) -> Result<Form, OnnxError> {
        self.int8
            .get(value)
            .copied()
            .flatten()
            .ok_or_else(|| absent(value))
    }

    /// The form of each float value that the graph has, int8 where there are two.
    pub(super) fn forms(&self) -> Vec<Option<Form>> {
        self.int8
            .iter()
            .zip(&self.raw)
            .map(|(int8, raw)| int8.or(*raw))
            .collect()
    }

    /// Adds the integer ops for the op at `index` of the float model.
    pub(super) fn add(&mut self, index: usize) -> Result<(), OnnxError> {
        let model = self.model;
        let value = model.inputs.len() + index;
        let op = &model.ops[index];
        if accumulates(op) {
            return self.accumulate(value, op);
        }
        match op {
            FloatOp::Clamp { input, .. } | FloatOp::Function { input, .. } | FloatOp::Round { input, .. } => {
                self.fuse(value, op, *input)
            }
            FloatOp::Reshape { input } => {
                self.reshape(value, *input);
                Ok(())
            }
            FloatOp::ArgMax { input } => {
                let input = self.raw(*input)?.id;
                let id = self.push(Op::ArgMax { input });
                self.raw[value] = Some(Form::new(id, DType::I32, Scale::ONE));
                Ok(())
            }
            _ => self.arrange(value, op),
        }
    }

    /// An op whose value is an accumulator, and the requantisation of the value itself where int8 is read.
    fn accumulate(&mut self, value: usize, op: &FloatOp) -> Result<(), OnnxError> {
        let accumulator = match op {
            FloatOp::WindowSum {
                input,
                window,
                factor,
                ..
            } => {
                let x = self.int8(*input)?;
                let window = *window;
                let id = self.both(x, |input, _| Op::WindowSum { input, window });
                let steps = vec![scale_to_f64(x.scale) * f64::from(*factor)];
                Accumulator {
                    id,
                    short: true,
                    ..Accumulator::of(steps)
                }
            }
            FloatOp::Product { left, right, .. } => {
                let (l, r) = (self.int8(*left)?, self.int8(*right)?);
                let id = self.push(Op::Product {
                    left: l.id,
                    right: r.id,
                });
                let steps = vec![scale_to_f64(l.scale) * scale_to_f64(r.scale)];
                Accumulator {
                    id,
                    short: true,
                    ..Accumulator::of(steps)
                }
            }
            FloatOp::Sum { name, terms } => {
                let target = self.targets(value).first().copied().unwrap_or(value);
                self.sum(name, terms, target)?
            }
            _ => self.layer(value, op)?,
        };
        if let Some(scale) = accumulator.shared {
            self.raw[value] = Some(Form::new(accumulator.id, DType::I32, scale));
        }
        self.accumulators[value] = Some(accumulator);
        if self.plan.needs[value].int8 {
            let accumulator = self.accumulators[value].clone().ok_or_else(|| absent(value))?;
            self.int8[value] = Some(self.requantise(&accumulator, value, i16::MIN, i16::MAX)?);
        }
        Ok(())
    }

    /// A sum whose coefficients are in steps of a power of two of the target's scale.
    fn sum(&mut self, name: &str, terms: &[(usize, f32)], target: usize) -> Result<Accumulator, OnnxError> {
        let s_out = scale_to_f64(self.target_scale(target)?);
        let mut forms = Vec::new();
        for (value, coefficient) in terms {
            let form = self.int8(*value)?;
            forms.push((form, f64::from(*coefficient) * scale_to_f64(form.scale) / s_out));
        }
        let ratios: Vec<f64> = forms.iter().map(|(_, ratio)| *ratio).collect();
        let (coefficients, shift) = coefficients(name, &ratios)?;
        let terms = forms.iter().zip(coefficients);
        let terms = terms.flat_map(|((form, _), coefficient)| {
            form.parts().into_iter().map(move |(value, part)| Term {
                value,
                coefficient: coefficient.saturating_mul(part),
            })
        });
        let terms = terms.collect();
        let id = self.push(Op::Sum { terms });
        let exact = Some((
            target,
            Requantisation {
                multipliers: vec![1],
                shift,
            },
        ));
        Ok(Accumulator {
            id,
            exact,
            short: true,
            ..Accumulator::of(vec![s_out / power_of_two(shift)])
        })
    }

    /// A clamp, function or rounding: part of the requantisation of what it reads.
    fn fuse(&mut self, value: usize, op: &FloatOp, input: usize) -> Result<(), OnnxError> {
        if matches!(op, FloatOp::Round { .. }) && self.plan.share(value, input) {
            self.int8[value] = Some(self.int8(input)?);
            return Ok(());
        }
        let accumulator = match &self.accumulators[input] {
            Some(accumulator) => accumulator.clone(),
            None => self.sum(&format!("value {value}"), &[(input, 1.0)], value)?,
        };
        let form = match op {
            FloatOp::Function { function, .. } => self.activate(&accumulator, value, input, *function)?,
            FloatOp::Round { step, low, high, .. } => {
                let step = f64::from(*step);
                let ends = (f64::from(*low) * step, f64::from(*high) * step);
                self.clamp(&accumulator, value, ends)?
            }
            FloatOp::Clamp { low, high, .. } => {
                self.clamp(&accumulator, value, (f64::from(*low), f64::from(*high)))?
            }
            _ => return Err(absent(value)),
        };
        self.int8[value] = Some(form);
        Ok(())
    }

    fn clamp(
        &mut self,
        accumulator: &Accumulator,
        value: usize,
        ends: (f64, f64),
    ) -> Result<Form, OnnxError> {
        let scale = scale_to_f64(self.plan.scale(value)?);
        // `as` saturates, so infinite ends are those of int16.
        let end = |real: f64| (real / scale).round() as i16;
        self.requantise(accumulator, value, end(ends.0), end(ends.1))
    }

    /// The float values that requantisations of a value stand for: itself, and each clamp or function behind it.
    pub(super) fn targets(&self, value: usize) -> Vec<usize> {
        let own = self.plan.needs[value].int8.then_some(value);
        let first = self.model.inputs.len();
        let fused =
            self.model.ops.iter().enumerate().filter_map(|(index, op)| {
                (requantises(op) && op.inputs() == [value]).then_some(first + index)
            });
        own.into_iter().chain(fused).collect()
    }

    /// The scale in which a requantisation makes its quotients: that of the value, or of the argument of a function.
    pub(super) fn target_scale(&self, target: usize) -> Result<Scale, OnnxError> {
        match self.model.producer(target) {
            Some(FloatOp::Function { input, function, .. }) => {
                self.argument(*input, *function).map(|(scale, ..)| scale)
            }
            _ => self.plan.scale(target),
        }
    }

    /// Scale and range of the arguments that a function has a table for.
    fn argument(&self, input: usize, function: FloatFunction) -> Result<(Scale, i16, i16), OnnxError> {
        let magnitude = f64::from(self.ranges.magnitude[input]);
        let magnitude = function.reach().map_or(magnitude, |reach| magnitude.min(reach));
        let magnitude = if magnitude == 0.0 { 1.0 } else { magnitude };
        let most = f64::from((1i16 << (self.options.table_bits - 1)) - 1);
        let real = magnitude / most;
        let scale = scale_at_least(real, Scale::MAX_SHIFT).filter(|scale| scale_to_f64(*scale) <= 2.0 * real);
        let scale = scale.ok_or_else(|| OnnxError::Scale {
            what: format!("the argument of {}", function.name()),
            found: real,
        })?;
        // A quarter more than was seen on the side that is not the longer one.
        let (low, high) = self.ranges.ends[input];
        let end = |real: f32| (1.25 * f64::from(real) / scale_to_f64(scale)).clamp(-most - 1.0, most);
        Ok((
            scale,
            end(low.min(0.0)).floor() as i16,
            end(high.max(0.0)).ceil() as i16,
        ))
    }

    fn activate(
        &mut self,
        accumulator: &Accumulator,
        value: usize,
        input: usize,
        function: FloatFunction,
    ) -> Result<Form, OnnxError> {
        let (argument, low, high) = self.argument(input, function)?;
        let scale = self.plan.scale(value)?;
        let kind = kind(function).ok_or_else(|| absent(value))?;
        let Requantisation { multipliers, shift } = requantisation(accumulator, value, argument)?;
        let function = Function {
            kind,
            argument,
            result: scale,
            low,
            high,
        };
        let id = self.push(Op::Activate {
            input: accumulator.id,
            multipliers,
            shift,
            function,
        });
        Ok(Form::new(id, DType::I8, scale))
    }

    /// Emits the requantisation of an accumulator that stands for the float value `target`, clamped to what its form
    /// holds of `low..=high`.
    fn requantise(
        &mut self,
        accumulator: &Accumulator,
        target: usize,
        low: i16,
        high: i16,
    ) -> Result<Form, OnnxError> {
        let scale = self.plan.scale(target)?;
        let Requantisation { multipliers, shift } = requantisation(accumulator, target, scale)?;
        let input = accumulator.id;
        let Some(wide) = self.plan.wide(target) else {
            let end = |end: i16| end.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
            let id = self.push(Op::Requantise {
                input,
                multipliers,
                shift,
                low: end(low),
                high: end(high),
            });
            return Ok(Form::new(id, DType::I8, scale));
        };
        let bits = wide.bits;
        let kinds = [FunctionKind::HighDigit { bits }, FunctionKind::LowDigit { bits }];
        let [id, digit] = kinds.map(|kind| {
            self.push(Op::Activate {
                input,
                multipliers: multipliers.clone(),
                shift,
                function: Function {
                    kind,
                    argument: Scale::ONE,
                    result: Scale::ONE,
                    low: low.clamp(wide.low, wide.high),
                    high: high.clamp(wide.low, wide.high),
                },
            })
        });
        let digit = Some(Digit {
            id: digit,
            bits,
            high: wide.high,
        });
        Ok(Form {
            digit,
            ..Form::new(id, DType::I8, scale)
        })
    }

    /// Accumulators of an op over a form: those of both digits, added up. `op` makes the node for a digit; its flag says
    /// which one, the last or only one, takes what is added once.
    pub(super) fn both(&mut self, x: Form, mut op: impl FnMut(ValueId, bool) -> Op) -> ValueId {
        let Some(digit) = x.digit else {
            return self.push(op(x.id, true));
        };
        let nodes = [op(x.id, false), op(digit.id, true)].map(|op| self.push(op));
        let coefficients = x.parts().into_iter().map(|(_, coefficient)| coefficient);
        let terms = nodes.into_iter().zip(coefficients);
        let terms = terms
            .map(|(value, coefficient)| Term { value, coefficient })
            .collect();
        self.push(Op::Sum { terms })
    }

    fn reshape(&mut self, value: usize, input: usize) {
        let shape = &self.model.shapes[value];
        let (raw, int8) = (self.raw[input], self.int8[input]);
        let needs = self.plan.needs[value];
        let mut push = |input: ValueId| {
            let shape = shape.clone();
            self.push(Op::Reshape { input, shape })
        };
        let mut emit = |form: Form| Form {
            id: push(form.id),
            digit: form.digit.map(|digit| Digit {
                id: push(digit.id),
                ..digit
            }),
            ..form
        };
        let new_int8 = int8.filter(|_| needs.int8).map(&mut emit);
        // One reshape serves both where the value is int8 anyway.
        let raw = raw.or(int8);
        let same = raw.is_some_and(|r| int8.is_some_and(|i| r.id == i.id));
        let new_raw = if same && new_int8.is_some() {
            new_int8
        } else {
            raw.filter(|_| needs.raw).map(emit)
        };
        self.int8[value] = new_int8;
        self.raw[value] = new_raw.filter(|_| needs.raw);
    }

    /// An op that moves int8 elements or takes the largest of some.
    fn arrange(&mut self, value: usize, op: &FloatOp) -> Result<(), OnnxError> {
        let mut form = Form::new(ValueId(0), DType::I8, self.plan.scale(value)?);
        let high = self.arranged(value, op, |form| form.id)?;
        // Digits are moved alike; ops that read several values or compare elements have none.
        let digit = match op.inputs().first() {
            Some(input) => self.int8(*input)?.digit,
            None => None,
        };
        if let Some(digit) = digit {
            let low = self.arranged(value, op, |form| form.digit.map_or(form.id, |digit| digit.id))?;
            form.digit = Some(Digit {
                id: self.push(low),
                ..digit
            });
        }
        form.id = self.push(high);
        self.int8[value] = Some(form);
        Ok(())
    }

    /// The op over what `pick` takes of the form of each operand.
    fn arranged(&self, value: usize, op: &FloatOp, pick: impl Fn(Form) -> ValueId) -> Result<Op, OnnxError> {
        let scale = self.plan.scale(value)?;
        let shape = self.model.shapes[value].clone();
        let id = |value: &usize| self.int8(*value).map(&pick);
        Ok(match op {
            FloatOp::WindowMax { input, window } => Op::WindowMax {
                input: id(input)?,
                window: *window,
            },
            FloatOp::Transpose { input, axes } => {
                let axes = axes
                    .iter()
                    .map(|axis| u8::try_from(*axis).unwrap_or(u8::MAX))
                    .collect();
                Op::Transpose {
                    input: id(input)?,
                    axes,
                }
            }
            FloatOp::Slice { input, stretches } => Op::Slice {
                input: id(input)?,
                stretches: stretches.clone(),
            },
            FloatOp::Concat { inputs, axis } => Op::Concat {
                inputs: inputs.iter().map(id).collect::<Result<_, _>>()?,
                axis: u8::try_from(*axis).unwrap_or(u8::MAX),
            },
            FloatOp::Pad {
                input,
                before,
                after,
                value,
            } => Op::Pad {
                input: id(input)?,
                before: before.clone(),
                after: after.clone(),
                value: nearest(f64::from(*value) / scale_to_f64(scale)).clamp(-128, 127) as i8,
            },
            FloatOp::Expand { input } => Op::Expand {
                input: id(input)?,
                shape,
            },
            _ => return Err(absent(value)),
        })
    }
}

/// Multipliers and shift that bring an accumulator to a scale.
fn requantisation(
    accumulator: &Accumulator,
    target: usize,
    scale: Scale,
) -> Result<Requantisation, OnnxError> {
    let name = format!("value {target}");
    let Requantisation {
        mut multipliers,
        shift,
    } = match &accumulator.exact {
        Some((exact, requantisation)) if *exact == target => requantisation.clone(),
        _ if accumulator.short => short(&name, accumulator.steps[0], scale_to_f64(scale))?,
        _ => rounded(&name, &accumulator.steps, scale_to_f64(scale))?,
    };
    if multipliers.iter().all(|m| Some(m) == multipliers.first()) {
        multipliers.truncate(1);
    }
    Ok(Requantisation { multipliers, shift })
}

/// The function as the graph has it.
fn kind(function: FloatFunction) -> Option<FunctionKind> {
    let scale = |real: f32| scale_at_least(f64::from(real), Scale::MAX_SHIFT);
    Some(match function {
        FloatFunction::Sigmoid => FunctionKind::Sigmoid,
        FloatFunction::Tanh => FunctionKind::Tanh,
        FloatFunction::Silu => FunctionKind::Silu,
        FloatFunction::Gelu => FunctionKind::Gelu,
        FloatFunction::GeluTanh => FunctionKind::GeluTanh,
        FloatFunction::Softplus => FunctionKind::Softplus,
        FloatFunction::LeakyRelu { slope } => FunctionKind::LeakyRelu { slope: scale(slope)? },
        FloatFunction::HardSigmoid { alpha, beta } => FunctionKind::HardSigmoid {
            alpha: scale(alpha)?,
            beta: scale(beta)?,
        },
        FloatFunction::HardSwish => FunctionKind::HardSwish,
        FloatFunction::Erf => return None,
    })
}

pub(super) fn dimension(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn value_id(value: usize) -> ValueId {
    ValueId(dimension(value))
}

/// Import leaves only ops in forms that the passes above provide.
pub(super) fn absent(value: usize) -> OnnxError {
    OnnxError::Damaged {
        reason: format!("value {value} has no integer form"),
    }
}
