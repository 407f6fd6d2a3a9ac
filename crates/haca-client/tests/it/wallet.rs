//! Key files and what wallets sign.

use haca_client::{Wallet, random_nonce};
use haca_wire::{Amount, AssetId, Height, Message, TypedData as _};

use crate::network::Network;

#[test]
fn a_key_file_is_made_once_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").join("payer.key");
    let made = Wallet::load_or_create(&path).unwrap();
    let read = Wallet::load_or_create(&path).unwrap();
    assert_eq!(made.address(), read.address());
    assert_eq!(made.save(&path).unwrap_err().code(), "client.key_file");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("payer.key");
    Wallet::generate().unwrap().save(&path).unwrap();
    for mode in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Wallet::load(&path).unwrap_err();
        assert_eq!(error.code(), "client.key_file");
        assert!(error.to_string().contains("chmod 600"));
    }
}

#[test]
fn a_file_that_holds_no_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "zz", &"0".repeat(64), &"f".repeat(64), &"1".repeat(63)] {
        let path = dir.path().join("key");
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(
            Wallet::load(&path).unwrap_err().code(),
            "client.key_file",
            "{text:?}"
        );
    }
}

#[test]
fn transactions_are_signed_for_one_network_and_never_alike() {
    let network = Network::new();
    let wallet = Wallet::generate().unwrap();
    let message = Message::Bond {
        asset: AssetId(0),
        amount: Amount(1),
    };
    let sign = || {
        wallet
            .transaction(message.clone(), &network.domain(), Height(10), Amount(5))
            .unwrap()
    };
    let (first, second) = (sign(), sign());
    let digest = first.transaction.digest(&network.domain());
    assert_eq!(first.signature.recover(&digest).unwrap(), wallet.address());
    assert_ne!(first, second);
    assert_ne!(random_nonce().unwrap(), random_nonce().unwrap());
}
