//! What is stored and signed today must hash and read the same for ever: fixed bytes, worked out apart from this code.

use ed25519_dalek::{Signer, SigningKey};
use serde_json::json;

use super::*;
use crate::events::checkpoint::{Body, Checkpoint, Head};

const DETAIL: &str = "3a3d810808ee516b49eedcb4a58da78dabcf610fde3e5766a31190a870385c70";
const BODY: &str = concat!(
    r#"{"at":1700000000001,"principal":1000,"action":"alias.set","asset":7,"revision":4,"subject":"champion","#,
    r#""request":"0190a0b0-c0d0-7000-8000-000000000001","operation":"0190a0b0-c0d0-7000-8000-000000000002","#,
    r#""detail":"3a3d810808ee516b49eedcb4a58da78dabcf610fde3e5766a31190a870385c70"}"#,
    "\n",
    r#"{"at":1700000000000,"principal":1,"action":"catalog.update","request":"0190a0b0-c0d0-7000-8000-000000000003"}"#,
    "\n",
);
const DETAILS: &str =
    r#"[{"salt":"000102030405060708090a0b0c0d0e0f","json":"{\"name\":\"fraud\",\"to\":3}"},null]"#;
const HASH: &str = "7cc3221aa4b1ff069bcb1027cf182705bc2fb87fa1026e10e1cbcc9d40841556";

fn request(last: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(0x0190_a0b0_c0d0_7000_8000_0000_0000_0000 + last)
}

fn pending() -> Vec<Pending> {
    let detail =
        Detail { salt: "000102030405060708090a0b0c0d0e0f".into(), json: r#"{"name":"fraud","to":3}"#.into() };
    let full = Entry {
        at: 1_700_000_000_001,
        principal: 1000,
        action: "alias.set".into(),
        asset: Some(7),
        revision: Some(4),
        subject: Some("champion".into()),
        subject_revision: None,
        request: request(1),
        operation: Some(request(2)),
        detail: Some(detail.digest()),
    };
    let bare = Entry {
        at: 1_700_000_000_000,
        principal: 1,
        action: "catalog.update".into(),
        asset: None,
        revision: None,
        subject: None,
        subject_revision: None,
        request: request(3),
        operation: None,
        detail: None,
    };
    vec![Pending { entry: full, detail: Some(detail) }, Pending { entry: bare, detail: None }]
}

#[test]
fn bytes_and_hash_of_a_block_are_fixed() {
    let chain = Chain { slot: 3, n: 6, head: [0x11; 32] };
    let block = chain.seal(pending()).unwrap().unwrap();
    assert_eq!(std::str::from_utf8(&block.body).unwrap(), BODY);
    assert_eq!(std::str::from_utf8(&block.details).unwrap(), DETAILS);
    assert_eq!(
        (block.slot, block.n, block.previous, block.entries, block.first_at, block.last_at),
        (3, 7, [0x11; 32], 2, 1_700_000_000_000, 1_700_000_000_001)
    );
    assert_eq!(hex::encode(block.hash), HASH);
}

#[test]
fn a_block_of_today_reads_the_same() {
    let block = Block {
        slot: 3,
        n: 7,
        previous: [0x11; 32],
        hash: to_hash(&hex::decode(HASH).unwrap()).unwrap(),
        entries: 2,
        first_at: 1_700_000_000_000,
        last_at: 1_700_000_000_001,
        body: BODY.into(),
        details: DETAILS.into(),
    };
    assert_eq!(block.compute_hash(), block.hash);
    let (read, details) = (block.read_entries().unwrap(), block.read_details().unwrap());
    let made = pending();
    assert_eq!(read.len(), 2);
    for ((entry, detail), pending) in read.iter().zip(&details).zip(&made) {
        let (found, expected) =
            (serde_json::to_value(entry).unwrap(), serde_json::to_value(&pending.entry).unwrap());
        assert_eq!(found, expected);
        assert_eq!(detail.as_ref().map(Detail::digest), entry.detail);
    }
    assert_eq!(read[0].detail.as_deref(), Some(DETAIL));
}

#[test]
fn stored_forms_of_today_are_read() {
    assert_eq!(pack(b"short").unwrap(), b"\x01short");
    assert_eq!(unpack(b"\x01short").unwrap(), b"short");
    let long = b"strongback\n".repeat(60);
    let stored = hex::decode("0228b52ffd609401950000587374726f6e676261636b0a0100865c152f").unwrap();
    assert_eq!(unpack(&stored).unwrap(), long);
    assert_eq!(pack(&long).unwrap()[0], 2);
    assert_eq!(unpack(&pack(&long).unwrap()).unwrap(), long);
    unpack(b"\x03from later").unwrap_err();
    unpack(b"").unwrap_err();
}

#[test]
fn a_signed_checkpoint_is_fixed() {
    let statement = Body {
        version: 1,
        n: 9,
        at: 1_700_000_000_002,
        heads: vec![Head { slot: 3, n: 7, hash: HASH.into() }],
    };
    let kept = Checkpoint {
        body: format!(r#"{{"version":1,"n":9,"at":1700000000002,"heads":[{{"slot":3,"n":7,"hash":"{HASH}"}}]}}"#),
        signature: "5b41a5fbe3a0ffb8ac114aa12323ed0005b9af5b628f1809fceaf51d38a435ea55de358794731c9c9d85d792b575f5a05dac2bed6a4ccf5ab0989ef734b37205".into(),
        public_key: "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c".into(),
    };
    assert_eq!(serde_json::to_string(&statement).unwrap(), kept.body);
    assert_eq!(kept.verify(), Ok(statement));
    let key = SigningKey::from_bytes(&[7; 32]);
    assert_eq!(hex::encode(key.sign(kept.body.as_bytes()).to_bytes()), kept.signature);
}

fn largest_event() -> Event {
    let kind = EventKind::ALL.iter().copied().max_by_key(|kind| kind.name().len()).unwrap();
    // Quotes, since in a JSON text of a JSON text nothing else takes more room.
    let detail = json!({ "text": "\"".repeat((detail::JSON_BYTES_MAX - 12) / 2) });
    Event::new(kind)
        .asset(i64::MIN, i64::MAX)
        .subject_at("f".repeat(SUBJECT_BYTES_MAX), i64::MAX)
        .operation(uuid::Uuid::max())
        .detail(detail)
}

#[test]
fn the_largest_group_that_can_be_written_can_be_read() {
    let origin = Origin { now: i64::MIN, ..Origin::system() };
    let group = (0..GROUP_LIMIT).map(|_| Pending::new(largest_event(), &origin).unwrap()).collect();
    let block = Chain { slot: 1, n: 0, head: [0; 32] }.seal(group).unwrap().unwrap();
    assert!(block.body.len() <= GROUP_LIMIT * ENTRY_BYTES_MAX, "{}", block.body.len());
    assert!(block.details.len() <= GROUP_LIMIT * (detail::STORED_BYTES_MAX + 1) + 2);
    assert!(
        block.details.len() > GROUP_LIMIT * detail::STORED_BYTES_MAX * 9 / 10,
        "the test is near the limit"
    );
    assert_eq!(unpack(&pack(&block.body).unwrap()).unwrap(), block.body);
    assert_eq!(unpack(&pack(&block.details).unwrap()).unwrap(), block.details);
}

#[test]
fn a_subject_is_an_id() {
    let subject = |text: &str| {
        Pending::new(Event::new(EventKind::RunCreate).subject(text), &Origin::system()).map(drop)
    };
    for id in ["7", "1000/1001", "m-2537164787b843699abcaffe3f1e74fd", &uuid::Uuid::max().to_string()] {
        assert!(subject(id).is_ok(), "{id}");
    }
    for text in ["ana@example.com", "Ana", "a b", "a_b", "ü", &"1".repeat(SUBJECT_BYTES_MAX + 1)] {
        assert!(subject(text).is_err(), "{text}");
    }
}
