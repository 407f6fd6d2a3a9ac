//! Quantises an ONNX file with the samples of a calibration file and writes the model file.
//!
//! `cargo run --release -p haca-onnx --example quantise -- MODEL.onnx CALIBRATION OUT.haca [NAME]`

use std::{env, error::Error, fs};

use haca_onnx::{FloatModel, Options, SampleSet, quantise_model};
use haca_wire::{Encode, Name};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [onnx, calibration, out, name @ ..] = args.as_slice() else {
        return Err("usage: quantise MODEL.onnx CALIBRATION OUT.haca [NAME]".into());
    };
    let name = name
        .first()
        .map(|name| Name::new(name).ok_or("the name is not a name"))
        .transpose()?;
    let model = FloatModel::read(&fs::read(onnx)?)?;
    let samples = SampleSet::read(&fs::read(calibration)?, &model.inputs())?.samples;
    let (file, _) = quantise_model(
        &model,
        &samples,
        &Options {
            name,
            ..Options::default()
        },
    )?;
    fs::write(out, file.encode())?;
    Ok(())
}
