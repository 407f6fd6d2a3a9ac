//! The vectors of `spec/zk.md`, which `spec/zk_verify.py` reads, too.

use std::collections::BTreeMap;

use haca_wire::codec::Reader;
use haca_wire::{Decode, Inference};
use haca_zk::{Statement, VerifyingKey, registration_price, verify, verify_registration};
use serde_json::Value as Json;

const ACCEPT: &[u8] = include_bytes!("../../../../spec/vectors/zk/accept.json.gz");
const REJECT: &[u8] = include_bytes!("../../../../spec/vectors/zk/reject.json.gz");
const REGISTRATION: &[u8] = include_bytes!("../../../../spec/vectors/zk/registration.json.gz");
/// The fields that hold bytes, as hexadecimal digits.
const FIELDS: [&str; 5] = ["key", "context", "inferences", "proof", "registration"];
/// Head and tail of a gzip file without a name.
const HEAD: usize = 10;
const TAIL: usize = 8;

type Fields = BTreeMap<&'static str, Vec<u8>>;

fn vectors(file: &[u8]) -> Vec<Json> {
    let json = miniz_oxide::inflate::decompress_to_vec(&file[HEAD..file.len() - TAIL]).unwrap();
    serde_json::from_slice(&json).unwrap()
}

fn bytes(json: &Json) -> Vec<u8> {
    hex::decode(json.as_str().unwrap()).unwrap()
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

fn fields(vector: &Json) -> Fields {
    FIELDS
        .iter()
        .map(|field| (*field, bytes(&vector[*field])))
        .collect()
}

fn inferences(encoded: &[u8]) -> Vec<Inference> {
    let mut reader = Reader::new(encoded);
    let count = u32::decode(&mut reader).unwrap();
    let inferences = (0..count)
        .map(|_| Inference::decode(&mut reader).unwrap())
        .collect();
    reader.finish().unwrap();
    inferences
}

/// The key, or the code of the refusal of key, registration or inferences.
fn verdict(fields: &Fields) -> Result<VerifyingKey, &'static str> {
    let key = VerifyingKey::decode_all(&fields["key"]).map_err(|error| error.code())?;
    verify_registration(&key, &fields["registration"]).map_err(|error| error.code())?;
    let statement = Statement {
        context: fields["context"].as_slice().try_into().unwrap(),
        inferences: &inferences(&fields["inferences"]),
    };
    verify(&key, &statement, &fields["proof"]).map_err(|error| error.code())?;
    Ok(key)
}

fn changed(fields: &Fields, refusal: &Json) -> Fields {
    let change = &refusal["change"];
    let mut fields = fields.clone();
    let field = fields.get_mut(text(&refusal["field"])).unwrap();
    let number = |name: &str| change[name].as_u64().map(|n| usize::try_from(n).unwrap());
    if let Some(at) = number("at") {
        field[at] ^= u8::try_from(number("xor").unwrap()).unwrap();
    } else if let Some(length) = number("truncate") {
        field.truncate(length);
    } else if change["append"].is_string() {
        field.extend(bytes(&change["append"]));
    } else {
        *field = bytes(&change["bytes"]);
    }
    fields
}

#[test]
fn accepted() {
    let vectors = vectors(ACCEPT);
    let mut bounds = 0;
    for vector in &vectors {
        let (name, fields) = (text(&vector["name"]), fields(vector));
        let key = verdict(&fields).unwrap_or_else(|code| panic!("{name}: {code}"));
        let batch = inferences(&fields["inferences"]).len();
        let (budget, registration) = (key.security(batch), key.registration_security());
        assert!(fields["proof"].len() <= key.proof_bytes_bound(batch), "{name}");
        bounds += key.proof_bytes_bound(batch);
        assert!(key.memory_bytes() > fields["key"].len(), "{name}");
        assert_eq!(key.model_id().0.to_vec(), bytes(&vector["model"]), "{name}");
        assert_eq!(key.verification_gas(batch).0, vector["gas"], "{name}");
        assert_eq!(key.registration_gas().0, vector["registration_gas"], "{name}");
        let price = registration_price(&fields["key"]).unwrap();
        assert!(price >= key.registration_gas(), "{name}");
        assert_eq!(price.0, vector["registration_price"], "{name}");
        assert!(price.0 < 4 * key.registration_gas().0, "{name}: {price}");
        let bits = [
            (budget.round_by_round_bits, "round_by_round_bits"),
            (budget.union_bits, "union_bits"),
            (
                registration.round_by_round_bits,
                "registration_round_by_round_bits",
            ),
            (registration.union_bits, "registration_union_bits"),
        ];
        for (found, field) in bits {
            assert!((found - vector[field].as_f64().unwrap()).abs() < 1e-6, "{name}");
        }
        // The union hides terms that are small beside others.
        for (found, field) in [(budget, "terms"), (registration, "registration_terms")] {
            let expected = vector[field].as_object().unwrap();
            assert_eq!(found.terms.len(), expected.len(), "{name}");
            for (term, bits) in found.terms {
                let expected = expected[term].as_f64().unwrap();
                assert!((bits - expected).abs() < 1e-6, "{name}: {term}");
            }
        }
    }
    // Provers size batches by these bounds, and nothing else would see them move. New vectors make it another number.
    assert_eq!(bounds, 1_956_312);
    assert!(vectors.len() > 30, "{}", vectors.len());
}

#[test]
fn refused_with_the_expected_code() {
    let accepted: BTreeMap<String, Fields> = vectors(ACCEPT)
        .iter()
        .map(|vector| (text(&vector["name"]).to_owned(), fields(vector)))
        .collect();
    let vectors = vectors(REJECT);
    for refusal in &vectors {
        let fields = changed(&accepted[text(&refusal["of"])], refusal);
        let code = verdict(&fields).err();
        assert_eq!(code, Some(text(&refusal["code"])), "{}", text(&refusal["name"]));
    }
    assert!(vectors.len() > 1000, "{}", vectors.len());
}

#[test]
fn registrations() {
    let vectors = vectors(REGISTRATION);
    let mut accepted = 0;
    for vector in &vectors {
        let key = VerifyingKey::decode_all(&bytes(&vector["key"])).unwrap();
        let refusal = verify_registration(&key, &bytes(&vector["registration"])).err();
        let found = refusal.map(|error| error.code());
        assert_eq!(found, vector["code"].as_str(), "{}", text(&vector["name"]));
        accepted += usize::from(found.is_none());
    }
    assert!(accepted >= 3, "{accepted}");
    assert!(vectors.len() > 40, "{}", vectors.len());
}
