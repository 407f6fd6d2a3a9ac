//! How an ONNX file is read and quantised, as options of the commands that do it.

use clap::Args as ClapArgs;
use haca_onnx::{Activations, BatchAxis, Calibration, InputLayout, Options, ReadOptions};
use haca_wire::Name;

/// Options of `model import` and `bench zk`. Defaults are those of the library.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Quantisation")]
pub(crate) struct Quantisation {
    /// How ranges follow from the samples: minmax, percentile (99.9), percentile=P, or mse
    #[arg(long, value_name = "METHOD", default_value = "minmax", value_parser = method)]
    calibrate: Calibration,
    /// Bits of the multipliers of dense and convolution layers, 1 to 16; fewer make proofs cheaper
    #[arg(long, value_name = "BITS", default_value_t = Options::default().multiplier_bits)]
    multiplier_bits: u8,
    /// One weight scale per layer instead of one per output channel
    #[arg(long)]
    per_tensor: bool,
    /// Let biases make up for the mean error of rounded weights on the samples
    #[arg(long)]
    bias_correction: bool,
    /// Arguments of the table of a function, as a power of two, 8 to 12
    #[arg(long, value_name = "BITS", default_value_t = Options::default().table_bits)]
    table_bits: u8,
    /// Activations between layers: int8, int12 (12 bits where possible), or auto (12 bits where they pay)
    #[arg(long, value_name = "WIDTH", default_value = "int8", value_parser = activations)]
    activations: Activations,
    /// Size of a dimension that the file names only; repeatable
    #[arg(long, value_name = "NAME=SIZE", value_parser = dimension)]
    dim: Vec<(String, u32)>,
    /// Inputs lie as [height, width, channels] in samples and requests, and need no transpose
    #[arg(long)]
    channels_last: bool,
    /// The first axis of each input is part of one inference, not a count of inferences
    #[arg(long)]
    no_batch_axis: bool,
}

impl Quantisation {
    /// How to quantise, under a name or that of the file's graph.
    pub(crate) fn options(&self, name: Option<Name>) -> Options {
        Options {
            name,
            calibration: self.calibrate,
            multiplier_bits: self.multiplier_bits,
            per_channel: !self.per_tensor,
            bias_correction: self.bias_correction,
            table_bits: self.table_bits,
            activations: self.activations,
        }
    }

    /// How to read the file.
    pub(crate) fn reading(&self) -> ReadOptions {
        ReadOptions {
            dimensions: self.dim.clone(),
            batch: match self.no_batch_axis {
                true => BatchAxis::Absent,
                false => BatchAxis::First,
            },
            input_layout: match self.channels_last {
                true => InputLayout::ChannelsLast,
                false => InputLayout::AsInFile,
            },
        }
    }
}

fn activations(text: &str) -> Result<Activations, String> {
    match text {
        "int8" => Ok(Activations::Int8),
        "int12" => Ok(Activations::Int12),
        "auto" => Ok(Activations::Auto),
        _ => Err("one of int8, int12, auto".into()),
    }
}

/// The percentile where none is named.
const PERCENTILE: f64 = 99.9;

fn method(text: &str) -> Result<Calibration, String> {
    let percentile = |text: &str| text.parse().map(Calibration::Percentile);
    match text {
        "minmax" => Ok(Calibration::MinMax),
        "mse" => Ok(Calibration::LeastSquares),
        "percentile" => Ok(Calibration::Percentile(PERCENTILE)),
        other => other
            .strip_prefix("percentile=")
            .and_then(|number| percentile(number).ok())
            .ok_or_else(|| {
                "one of minmax, percentile, percentile=P with P above 50 and at most 100, mse".into()
            }),
    }
}

fn dimension(text: &str) -> Result<(String, u32), String> {
    text.rsplit_once('=')
        .and_then(|(name, size)| Some((name.to_owned(), size.parse().ok().filter(|size| *size > 0)?)))
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| "write it as NAME=SIZE, the size at least 1".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_dimensions_are_read_or_refused() {
        assert_eq!(method("minmax"), Ok(Calibration::MinMax));
        assert_eq!(method("mse"), Ok(Calibration::LeastSquares));
        assert_eq!(method("percentile"), Ok(Calibration::Percentile(99.9)));
        assert_eq!(method("percentile=99.5"), Ok(Calibration::Percentile(99.5)));
        for wrong in [
            "",
            "MSE",
            "percentile=",
            "percentile=x",
            "percentile:99",
            "minmax=1",
        ] {
            assert!(method(wrong).is_err(), "{wrong}");
        }
        assert_eq!(dimension("height=224"), Ok(("height".to_owned(), 224)));
        assert_eq!(dimension("a=b=3"), Ok(("a=b".to_owned(), 3)));
        for wrong in [
            "",
            "height",
            "=3",
            "height=",
            "height=0",
            "height=-1",
            "height=4294967296",
        ] {
            assert!(dimension(wrong).is_err(), "{wrong}");
        }
    }
}
