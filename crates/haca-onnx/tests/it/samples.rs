//! Sample files as NumPy writes them, and JSON.

use haca_onnx::{InputSpec, OnnxError, Sample, SampleSet};
use proptest::prelude::*;

use crate::fixtures::folder;

fn inputs(sizes: &[(&str, usize)]) -> Vec<InputSpec> {
    sizes
        .iter()
        .map(|(name, elements)| InputSpec {
            name: (*name).to_owned(),
            elements: *elements,
        })
        .collect()
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("samples").join(name)).unwrap()
}

fn read(name: &str) -> Result<SampleSet, OnnxError> {
    SampleSet::read(&file(name), &inputs(&[("image", 3)]))
}

fn both() -> Vec<Sample> {
    vec![
        Sample(vec![vec![0.0, 1.0, 1.0]]),
        Sample(vec![vec![1.0, 0.0, 1.0]]),
    ]
}

#[test]
fn every_element_type_and_form_gives_the_same_samples() {
    let kinds = [
        "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", "big_f4", "big_i8",
    ];
    for name in kinds.iter().chain(&["version_2", "flat"]) {
        assert_eq!(read(&format!("{name}.npy")).unwrap().samples, both(), "{name}");
    }
    for name in ["stored.npz", "deflated.npz"] {
        let set = read(name).unwrap();
        assert_eq!((set.samples, set.labels), (both(), Some(vec![4, 7])), "{name}");
    }
    for name in ["no_labels.npz", "by_name.npz"] {
        let set = read(name).unwrap();
        assert_eq!((set.samples, set.labels), (both(), None), "{name}");
    }
}

#[test]
fn files_that_are_not_covered_say_why() {
    for (name, code, part) in [
        ("column_major.npy", "onnx.sample_file", "column-major"),
        ("complex.npy", "onnx.sample_file", "c8 is not a real number"),
        ("half.npy", "onnx.sample_file", "f2 is not a real number"),
        ("nan.npy", "onnx.not_finite", "element 2 is NaN"),
        ("no_x.npz", "onnx.sample_file", "no array \"x\""),
        (
            "three_labels.npz",
            "onnx.sample_size",
            "labels: 3 values, expected 2",
        ),
        ("half_label.npz", "onnx.sample_file", "label 0"),
    ] {
        let error = read(name).unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn json_holds_lists_or_samples_one_after_the_other() {
    let one = inputs(&[("image", 3)]);
    for text in [
        "{\"input_data\": [[0, 1, 1], [1, 0, 1]]}",
        "{\"input_data\": [[0.0, 1e0, 1, 1, 0, 1.0]], \"output_data\": [[1]]}",
    ] {
        assert_eq!(
            SampleSet::read(text.as_bytes(), &one).unwrap().samples,
            both(),
            "{text}"
        );
    }
    let two = inputs(&[("a", 3), ("b", 1)]);
    let expected = [
        Sample(vec![vec![0.0, 1.0, 1.0], vec![5.0]]),
        Sample(vec![vec![1.0, 0.0, 1.0], vec![6.0]]),
    ];
    for text in [
        "{\"input_data\": [[0, 1, 1], [5], [1, 0, 1], [6]]}",
        "{\"input_data\": [[0, 1, 1, 1, 0, 1], [5, 6]]}",
    ] {
        assert_eq!(
            SampleSet::read(text.as_bytes(), &two).unwrap().samples,
            expected,
            "{text}"
        );
    }
    assert_eq!(
        SampleSet::read(&file("two_inputs.npz"), &two).unwrap().samples,
        expected
    );
}

#[test]
fn json_that_does_not_fit_is_refused() {
    let two = inputs(&[("a", 3), ("b", 1)]);
    for (text, code) in [
        ("", "onnx.sample_file"),
        ("[[1]]", "onnx.sample_file"),
        ("{\"input_data\": [[NaN]]}", "onnx.sample_file"),
        ("{\"input_data\": [[1e999]]}", "onnx.sample_file"),
        ("{\"input_data\": []}", "onnx.no_samples"),
        ("{\"input_data\": [[1, 2, 3]]}", "onnx.sample_size"),
        ("{\"input_data\": [[], []]}", "onnx.sample_size"),
        ("{\"input_data\": [[1, 2, 3, 4], [1]]}", "onnx.sample_size"),
        ("{\"input_data\": [[1, 2, 3], [1, 2]]}", "onnx.sample_size"),
        ("{\"input_data\": [[1, 2, 1e60], [1]]}", "onnx.not_finite"),
    ] {
        let error = SampleSet::read(text.as_bytes(), &two).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {error}");
    }
}

#[test]
fn every_flipped_bit_of_the_data_of_an_archive_is_noticed() {
    // Headers hold dates and attributes that nobody reads; the packed data is covered by its checksum.
    for name in ["stored.npz", "deflated.npz"] {
        let bytes = file(name);
        let start = 30 + 5 + usize::from(bytes[28]) + usize::from(bytes[29]) * 256;
        let mut noticed = 0;
        for index in start..start + 40 {
            let mut flipped = bytes.clone();
            flipped[index] ^= 1;
            noticed += usize::from(read_bytes(&flipped).is_err());
        }
        assert_eq!(noticed, 40, "{name}");
    }
}

#[test]
fn an_archive_that_announces_more_than_it_holds_is_refused() {
    let mut bytes = file("deflated.npz");
    let entry = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[entry + 24..entry + 28].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(read_bytes(&bytes).unwrap_err().code(), "onnx.too_large");
}

fn read_bytes(bytes: &[u8]) -> Result<SampleSet, OnnxError> {
    SampleSet::read(bytes, &inputs(&[("image", 3)]))
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        name in proptest::sample::select(vec!["f4.npy", "version_2.npy", "stored.npz", "deflated.npz"]),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::weighted(0.3, any::<proptest::sample::Index>()),
    ) {
        let mut bytes = file(name);
        for (place, byte) in flips {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read_bytes(&bytes);
    }

    #[test]
    fn random_bytes_never_panic(
        magic in proptest::sample::select(vec!["", "{\"input_data\":", "PK\u{3}\u{4}"]),
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = read_bytes(&[magic.as_bytes(), &bytes].concat());
        let _ = read_bytes(&[b"\x93NUMPY\x01\x00".as_slice(), &bytes].concat());
    }
}
