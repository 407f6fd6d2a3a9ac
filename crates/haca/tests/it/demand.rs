//! `haca demand`: a proof that is made when its payer asks for it.

use haca_wire::{Amount, Decode as _, SignedTransaction};

use crate::local::{Local, haca, json};

#[test]
fn a_receipt_settled_as_optimistic_is_proven_when_its_payer_demands_it() {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let _serving = local.serve();
    let (code, inferred) = json(
        haca()
            .args(["infer", "--evidence", "optimistic", "--data"])
            .arg(local.path()),
    );
    assert_eq!(code, 0, "{inferred}");
    assert_eq!(inferred["answer"], inferred["label"]);
    let receipt = inferred["receipt"]["hash"].as_str().unwrap();
    let demand = |more: &[&str]| json(haca().args(["demand", "--data"]).arg(local.path()).args(more));

    let (code, listed) = demand(&[]);
    assert_eq!(code, 0, "{listed}");
    let listed = &listed["receipts"][0];
    assert_eq!(listed["receipt"], receipt);
    assert_eq!(listed["state"], "can be demanded", "{listed}");
    let (code, refused) = demand(&[receipt, "--max-deposit", "1"]);
    assert_eq!(
        (code, &refused["error"]["code"]),
        (2, &"cli.deposit_above_max".into()),
        "{refused}"
    );
    let unknown = format!("0x{}", "11".repeat(32));
    assert_eq!(demand(&[&unknown]).1["error"]["code"], "cli.unknown_receipt");

    // A base fee that rises before the demand is in a block costs no more than was allowed.
    let deposit: u128 = listed["deposit"].as_str().unwrap().parse().unwrap();
    let most = 3 * deposit - 1;
    let (code, answered) = demand(&[receipt, "--wait-s", "120", "--max-deposit", &most.to_string()]);
    assert_eq!((code, &answered["state"]), (0, &"answered".into()), "{answered}");
    let tx = answered["tx"].as_str().unwrap().parse().unwrap();
    let bytes = local.node().transaction_bytes(tx).unwrap().unwrap();
    let signed = SignedTransaction::decode_all(&bytes).unwrap().transaction.meta;
    let model = inferred["model_id"].as_str().unwrap().parse().unwrap();
    let model = local.node().model(model).unwrap().unwrap();
    let params = local.node().params().unwrap();
    let taken = |base_fee| params.demand_deposit(base_fee, &model).unwrap().0;
    assert!(taken(signed.max_base_fee) <= most, "{}", signed.max_base_fee);
    assert!(taken(Amount(signed.max_base_fee.0 + 1)) > most);
    let (_, listed) = demand(&[]);
    assert_eq!(listed["receipts"][0]["state"], "paid", "{listed}");
    let (code, again) = demand(&[receipt]);
    assert_eq!(
        (code, &again["error"]["code"]),
        (1, &"cli.nothing_to_demand".into()),
        "{again}"
    );

    // The bundle shows the settlement; that the node answers for it has to be accepted.
    let bundle = inferred["files"]["bundle"].as_str().unwrap();
    let trust = local.domain().genesis.to_string();
    let verify = |more: &[&str]| {
        let mut command = haca();
        command.args(["verify", bundle, "--trust", &trust]).args(more);
        json(&mut command).0
    };
    assert_eq!(verify(&["--accept-optimistic"]), 0);
    assert_eq!(verify(&["--accept-signed"]), 12, "refused by the policy alone");
}

/// What is kept with the voucher proves each of its receipts, also when another one is lost or damaged.
#[test]
fn a_lost_or_damaged_receipt_takes_no_other_with_it() {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let _serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let command =
        |name: &str, more: &[&str]| json(haca().arg(name).args(["--data"]).arg(local.path()).args(more));
    let receipts = ["1", "2", "3"].map(|row| {
        let (_, told) = command("infer", &["--evidence", "optimistic", "--no-wait", "--row", row]);
        let dir = told["files"]["dir"].as_str().unwrap().to_owned();
        (told["receipt"]["hash"].as_str().unwrap().to_owned(), dir)
    });
    let (code, covered) = command("cover", &[]);
    assert_eq!(
        (code, &covered["vouchers"][0]["count"]),
        (0, &3.into()),
        "{covered}"
    );
    let [(_, lost), (_, truncated), (wanted, dir)] = &receipts;
    std::fs::remove_dir_all(lost).unwrap();
    std::fs::write(format!("{truncated}/order.bin"), [7; 10]).unwrap();
    std::fs::remove_file(format!("{dir}/bundle.haca")).unwrap();
    let (code, claims) = command("claim", &[]);
    assert_eq!(code, 11, "{claims}");
    let lines = claims["receipts"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{claims}");
    assert_eq!(
        (&lines[0]["receipt"], &lines[0]["state"]),
        (&wanted.as_str().into(), &"held".into())
    );
    assert_eq!(claims["skipped"][0]["code"], "cli.damaged_file");
    let message = claims["skipped"][0]["message"].as_str().unwrap();
    assert!(message.contains(truncated.as_str()), "{message}");
    let (code, made) = command("cover", &[]);
    assert_eq!(
        (code, made["bundles"].as_array().unwrap().len()),
        (11, 1),
        "{made}"
    );
    let (code, answered) = command("demand", &[wanted, "--wait-s", "120"]);
    assert_eq!((code, &answered["state"]), (0, &"answered".into()), "{answered}");
}

#[test]
fn receipts_under_a_voucher_are_demanded_one_after_the_other() {
    let local = Local::start_with(&["--idle-ms", "10", "--block-ms", "1"]);
    let _serving = local.serve_with(&["--batch-wait-s", "3600"]);
    let command = |name: &str, more: &[&str]| {
        let (code, told) = json(haca().arg(name).args(["--data"]).arg(local.path()).args(more));
        assert_eq!(code, 0, "{told}");
        told
    };
    let receipts = ["1", "2"].map(|row| {
        let told = command("infer", &["--evidence", "optimistic", "--no-wait", "--row", row]);
        told["receipt"]["hash"].as_str().unwrap().to_owned()
    });
    let covered = command("cover", &[]);
    let voucher = &covered["vouchers"][0];
    assert_eq!(
        (&voucher["count"], &voucher["state"], &voucher["evidence"]),
        (&2.into(), &"settled".into(), &"optimistic".into()),
        "{covered}"
    );
    for receipt in &receipts {
        let listed = command("demand", &[]);
        let lines = listed["receipts"].as_array().unwrap();
        assert!(
            lines.iter().all(|line| line["state"] == "can be demanded"),
            "{listed}"
        );
        let answered = command("demand", &[receipt, "--wait-s", "120"]);
        assert_eq!(answered["state"], "answered", "{answered}");
    }
    let claims = command("claim", &[]);
    for line in claims["receipts"].as_array().unwrap() {
        assert_eq!(line["state"], "held", "{line}");
    }
}
