//! `haca demo`, and what can be done with the bundle it leaves.

use std::path::Path;

use serde_json::Value;

use crate::local::haca;

fn number(value: &Value) -> u128 {
    value.as_str().unwrap().parse().unwrap()
}

fn demo(dir: &Path) -> Value {
    let output = haca()
        .args(["demo", "--json", "--data"])
        .arg(dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).expect("stdout is one JSON object")
}

#[test]
fn demo_settles_burns_and_verifies_and_its_bundle_stands_alone() {
    let dir = tempfile::tempdir().unwrap();
    let story = demo(&dir.path().join("network"));
    let settlement = &story["settlement"];
    let fee = number(&settlement["fee"]);
    assert!(fee > 0);
    assert_eq!(
        number(&settlement["payout_after"]) - number(&settlement["payout_before"]),
        fee
    );
    let supply = &story["supply"];
    let burned = number(&settlement["burned"]);
    assert!(burned > 0);
    assert_eq!(number(&supply["before"]) - number(&supply["after"]), burned);
    assert_eq!(
        number(&supply["genesis"]) - number(&supply["burned_total"]),
        number(&supply["after"])
    );
    assert_eq!(
        burned,
        u128::from(settlement["gas"].as_u64().unwrap()) * number(&settlement["base_fee"])
    );
    assert_eq!(story["verification"]["outcome"], "verified");
    assert_eq!(story["answer"], story["label"]);
    assert!(story["proof"]["security_bits"].as_f64().unwrap() >= 128.0);
    assert!(story["proof"]["security_bits_union"].as_f64().unwrap() >= 124.0);

    let bundle = Path::new(story["files"]["bundle"].as_str().unwrap());
    let trust = std::fs::read_to_string(story["files"]["trust"].as_str().unwrap()).unwrap();
    let apart = tempfile::tempdir().unwrap();
    let copy = apart.path().join("bundle.haca");
    std::fs::copy(bundle, &copy).unwrap();
    let verify = |path: &Path, trust: &str| {
        let status = haca()
            .arg("verify")
            .arg(path)
            .args(["--trust", trust, "--quiet", "--json"])
            .output();
        status.unwrap().status.code().unwrap()
    };
    assert_eq!(verify(&copy, trust.trim()), 0);
    let other = format!("0x{}", "11".repeat(32));
    assert_eq!(verify(&copy, &other), 10, "another genesis hash");

    let bytes = std::fs::read(&copy).unwrap();
    let mut place = 12_345u64;
    for _ in 0..40 {
        place = place
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let mut changed = bytes.clone();
        let at = (place >> 33) as usize % changed.len();
        changed[at] ^= 1 << (place % 8);
        std::fs::write(&copy, &changed).unwrap();
        let code = verify(&copy, trust.trim());
        assert!([10, 11].contains(&code), "byte {at} flipped: exit code {code}");
    }
}
