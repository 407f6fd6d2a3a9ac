//! Every type: one encoding per value, one value per encoding, nothing but errors for the rest.

use haca_wire::*;
use proptest::prelude::*;

use crate::sample::Sample;

/// Decoding the encoding gives the value back; no shorter and no longer input decodes.
pub(crate) fn check_round_trip<T: Encode + Decode + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = value.encode();
    assert_eq!(&T::decode_all(&bytes).unwrap(), value);
    for end in 0..bytes.len() {
        assert!(
            T::decode_all(&bytes[..end]).is_err(),
            "cut at {end} of {}",
            bytes.len()
        );
    }
    for extra in 1..4 {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        assert_eq!(
            T::decode_all(&longer),
            Err(DecodeError::Trailing { found: extra })
        );
    }
}

/// Whatever decodes re-encodes to the same bytes.
fn check_canonical<T: Encode + Decode>(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    if let Ok(value) = T::decode(&mut reader) {
        assert_eq!(value.encode(), bytes[..bytes.len() - reader.remaining()]);
    }
}

/// Values by which a changed byte often becomes another tag, flag, length or sign.
const BYTES: [u8; 9] = [0, 1, 2, 3, 4, 5, 12, 0x80, 0xff];

macro_rules! types {
    ($($name:ident: $t:ty),* $(,)?) => {$(
        mod $name {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(48))]
                #[test]
                fn round_trip(value in <$t>::any()) {
                    check_round_trip(&value);
                }
                #[test]
                fn changed_bytes(value in <$t>::any(), at: prop::sample::Index, random: u8) {
                    let mut bytes = value.encode();
                    let at = at.index(bytes.len());
                    for byte in BYTES.into_iter().chain([random]) {
                        bytes[at] = byte;
                        check_canonical::<$t>(&bytes);
                    }
                }
                #[test]
                fn random_bytes(bytes in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..300)) {
                    check_canonical::<$t>(&bytes);
                }
            }
        }
    )*};
}
types! {
    flag: bool,
    id: ModelId,
    address: Address,
    amount: Amount,
    dtype: DType,
    shape: Shape,
    tensor: Tensor,
    scale: Scale,
    name: Name,
    tensor_spec: TensorSpec,
    evidence_kind: EvidenceKind,
    signature: Signature,
    quote: Quote,
    order: Order,
    close: Close,
    receipt: Receipt,
    settlement: Settlement,
    signed_order: Signed<Order>,
    inference: Inference,
    evidence: Evidence,
    item: Item,
    group: Group,
    meta: TxMeta,
    offer: Offer,
    message: Message,
    transaction: Transaction,
    signed_transaction: SignedTransaction,
}

#[test]
fn numbers_are_little_endian() {
    assert_eq!(Sequence(0x0102_0304).encode(), [4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(Amount(1 << 120).encode(), {
        let mut bytes = [0; 16];
        bytes[15] = 1;
        bytes
    });
    assert_eq!(Option::<bool>::encode(&Some(true)), [1, 1]);
    assert_eq!(Option::<bool>::encode(&None), [0]);
}
