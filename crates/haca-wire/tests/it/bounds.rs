//! Lengths, tags and values at and beyond their limits.

use haca_wire::codec::{put_bytes, put_list};
use haca_wire::*;

const HUGE: [u8; 4] = [0xff; 4];

/// The bytes of a message with this tag.
fn message(tag: u8, rest: &[&[u8]]) -> Vec<u8> {
    [&[tag], rest.concat().as_slice()].concat()
}

fn too_long<T: Decode + std::fmt::Debug>(bytes: &[u8], what: &'static str, expected: usize) {
    let found = u32::MAX as usize;
    assert_eq!(
        T::decode_all(bytes).unwrap_err(),
        DecodeError::TooLong {
            what,
            found,
            expected
        }
    );
}

#[test]
fn lengths_of_four_gigabytes_are_refused_before_allocation() {
    too_long::<Shape>(&HUGE, "dimensions", limit::RANK);
    too_long::<Name>(&HUGE, "name", limit::NAME_BYTES);
    too_long::<Inference>(&HUGE, "input tensors", limit::TENSORS);
    too_long::<Inference>(&[&[0; 4][..], &HUGE].concat(), "output tensors", limit::TENSORS);
    too_long::<Evidence>(&[&[1, 2][..], &HUGE].concat(), "inferences", limit::ITEMS);
    too_long::<Evidence>(
        &[&[1, 2, 0, 0, 0, 0][..], &HUGE].concat(),
        "proof",
        limit::PROOF_BYTES,
    );
    too_long::<Group>(&HUGE, "items", limit::ITEMS);
    too_long::<Message>(&message(2, &[&HUGE]), "verifying key", limit::VERIFYING_KEY_BYTES);
    too_long::<Message>(&message(2, &[&[0; 4], &HUGE]), "proof", limit::PROOF_BYTES);
    too_long::<Message>(&message(3, &[&HUGE]), "endpoint", limit::ENDPOINT_BYTES);
    too_long::<Message>(&message(3, &[&[0; 44], &HUGE]), "offers", limit::OFFERS);
    too_long::<Message>(&message(9, &[&HUGE]), "groups", limit::GROUPS);
}

#[test]
fn a_length_one_above_its_limit_is_refused_and_one_at_it_is_read() {
    let name = |len: usize| {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, &vec![b'a'; len]);
        Name::decode_all(&bytes)
    };
    assert!(name(limit::NAME_BYTES).is_ok());
    assert_eq!(name(limit::NAME_BYTES + 1).unwrap_err().code(), "wire.too_long");
    assert_eq!(name(0).unwrap_err().code(), "wire.invalid");

    let shape = |rank: usize| {
        let mut bytes = Vec::new();
        put_list(&mut bytes, &vec![1u32; rank]);
        Shape::decode_all(&bytes)
    };
    assert_eq!(shape(limit::RANK).unwrap().elements(), 1);
    assert_eq!(shape(limit::RANK + 1).unwrap_err().code(), "wire.too_long");

    let tensors = |count: usize| {
        let bit = Tensor::new(DType::I8, Shape::new(vec![]).unwrap(), vec![1]).unwrap();
        Inference::decode_all(
            &Inference {
                inputs: vec![bit; count],
                outputs: vec![],
            }
            .encode(),
        )
    };
    assert!(tensors(limit::TENSORS).is_ok());
    assert_eq!(tensors(limit::TENSORS + 1).unwrap_err().code(), "wire.too_long");
}

#[test]
fn a_length_beyond_the_input_is_refused_before_its_items() {
    // A thousand groups' worth of items announced, none there.
    let bytes = 1024u32.to_le_bytes();
    let expected = DecodeError::Truncated {
        offset: 4,
        expected: 1024,
    };
    assert_eq!(Group::decode_all(&bytes).unwrap_err(), expected);
    // A tensor of four million elements announced, none there.
    let bytes = [&[4, 1, 0, 0, 0][..], &(1u32 << 22).to_le_bytes()].concat();
    let expected = DecodeError::Truncated {
        offset: 9,
        expected: 8 << 22,
    };
    assert_eq!(Tensor::decode_all(&bytes).unwrap_err(), expected);
}

#[test]
fn shapes_have_no_empty_axis_and_a_bounded_product() {
    assert_eq!(Shape::new(vec![]).unwrap().elements(), 1);
    assert_eq!(
        Shape::new(vec![1 << 11, 1 << 11]).unwrap().elements(),
        limit::TENSOR_ELEMENTS
    );
    for dims in [
        vec![0],
        vec![3, 0],
        vec![1 << 11, (1 << 11) + 1],
        vec![u32::MAX; 8],
        vec![1; 9],
    ] {
        assert!(Shape::new(dims).is_none());
    }
    // A product of 2^64 wraps to zero in 64 bits.
    assert!(Shape::new(vec![1 << 16; 4]).is_none());
}

#[test]
fn tensors_hold_their_shape_and_element_type() {
    let shape = || Shape::new(vec![2]).unwrap();
    for dtype in [DType::I8, DType::I16, DType::I32, DType::I64] {
        let (low, high) = dtype.range();
        assert!(Tensor::new(dtype, shape(), vec![low, high]).is_some());
        assert!(Tensor::new(dtype, shape(), vec![low]).is_none());
        if dtype != DType::I64 {
            assert!(Tensor::new(dtype, shape(), vec![low - 1, 0]).is_none());
            assert!(Tensor::new(dtype, shape(), vec![0, high + 1]).is_none());
        }
    }
}

#[test]
fn scales_are_positive_and_in_lowest_terms() {
    assert_eq!(Scale::new(12, 1).map(|s| (s.mantissa(), s.shift())), Some((6, 0)));
    assert_eq!(Scale::new(12, 9).map(|s| (s.mantissa(), s.shift())), Some((3, 7)));
    assert!(Scale::new(0, 3).is_none());
    assert!(Scale::new(1, 63).is_none());
    let decode =
        |mantissa: u32, shift: u8| Scale::decode_all(&[&mantissa.to_le_bytes()[..], &[shift]].concat());
    assert!(decode(12, 0).is_ok());
    assert!(decode(1, 62).is_ok());
    for (mantissa, shift) in [(12, 1), (0, 0), (1, 63), (1, 255)] {
        assert_eq!(
            decode(mantissa, shift).unwrap_err(),
            DecodeError::Invalid { what: "scale" }
        );
    }
}

#[test]
fn names_are_printable_ascii_without_quotes_backslashes_and_spaces() {
    for good in ["a", "input.0", "/fc1/Gemm_output_0", "a'b"] {
        assert_eq!(Name::new(good).unwrap().as_str(), good);
    }
    for bad in ["", " ", "a b", "a\"b", "a\\b", "a\nb", "é", "a\u{7f}"] {
        assert!(Name::new(bad).is_none(), "{bad:?}");
    }
}

#[test]
fn text_on_the_wire_is_utf8() {
    let bytes = message(3, &[&[2, 0, 0, 0, 0xc3, 0x28]]);
    assert_eq!(
        Message::decode_all(&bytes).unwrap_err(),
        DecodeError::Invalid { what: "endpoint" }
    );
}

#[test]
fn a_batch_has_a_group_and_a_group_an_item() {
    let none = [0; 4];
    let expected = |what| DecodeError::Invalid { what };
    assert_eq!(
        Message::decode_all(&message(9, &[&none])).unwrap_err(),
        expected("batch without groups")
    );
    assert_eq!(
        Message::decode_all(&message(18, &[&none])).unwrap_err(),
        expected("response without answers")
    );
    assert_eq!(
        Message::decode_all(&message(19, &[&none])).unwrap_err(),
        expected("batch without vouchers")
    );
    assert_eq!(
        Group::decode_all(&[0, 0, 0, 0, 1]).unwrap_err(),
        expected("group without items")
    );
}

#[test]
fn kinds_of_evidence_without_a_verifier_are_refused() {
    for tag in [0, 3, 5, 255] {
        assert_eq!(
            Evidence::decode_all(&[1, tag]).unwrap_err().code(),
            "wire.bad_tag",
            "{tag}"
        );
    }
    assert_eq!(Evidence::decode_all(&[1, 1]).unwrap(), Evidence::Signed);
    assert_eq!(Evidence::decode_all(&[1, 4]).unwrap(), Evidence::Optimistic);
}

#[test]
fn identifiers_parse_from_hexadecimal() {
    let text = "0x00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let id: ModelId = text.parse().unwrap();
    assert_eq!(id.to_string(), text.to_ascii_lowercase());
    assert_eq!(text[2..].parse::<ModelId>().unwrap(), id);
    for bad in [
        "",
        "0x",
        &text[..65],
        &text[..64],
        "0x0x",
        &format!("{text}00"),
        &text.replace('f', "g"),
    ] {
        assert!(bad.parse::<ModelId>().is_err(), "{bad}");
    }
    assert!(ModelId::default().is_zero() && !id.is_zero());
}
