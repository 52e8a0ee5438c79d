//! The stream of events: what verification finds, and what it leaves in peace.

mod bounds;
mod clock;
mod cursor;
mod erase;
mod key;
mod list;
mod order;

use strongback::{
    catalog::authorize_admin,
    context::Ctx,
    db::{Change, Location, Origin, Sql},
    events::{
        Event, EventKind,
        chain::{Chain, Pending},
        checkpoint::{self, Checkpoint, Maker},
        verify::{self, Report},
    },
};

use crate::support::{TestApp, on_every_store};

async fn note(ctx: &Ctx, text: &str) {
    let text = text.to_owned();
    ctx.write(move |tx| {
        authorize_admin(tx, "test")?;
        let detail = serde_json::json!({ "text": text });
        Ok(Change::Made((), Event::new(EventKind::CatalogUpdate).subject("note").detail(detail)))
    })
    .await
    .unwrap();
}

async fn report(test: &TestApp, kept: Option<Checkpoint>) -> Report {
    test.system()
        .read(move |sql| {
            authorize_admin(sql, "test")?;
            verify::verify(sql, kept.as_ref(), &[])
        })
        .await
        .unwrap()
}

async fn checkpointed(test: &TestApp) -> Checkpoint {
    let mut maker = Maker::new(test.app.signing_key.clone());
    assert!(maker.make(&test.app.db).await.unwrap());
    assert!(!maker.make(&test.app.db).await.unwrap(), "heads did not move, so there is nothing to sign");
    test.system()
        .read(|sql| {
            authorize_admin(sql, "test")?;
            checkpoint::newest(sql)
        })
        .await
        .unwrap()
        .unwrap()
}

/// Changes the store behind the server's back, as an intruder would.
fn tamper(test: &TestApp, statement: &str) {
    match test.app.db.location() {
        Location::Sqlite(path) => {
            let conn = rusqlite::Connection::open(path).unwrap();
            conn.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
            assert!(conn.execute(statement, []).unwrap() > 0, "{statement}");
        }
        Location::Postgres(url) => {
            let (url, statement) = (url.clone(), statement.to_owned());
            std::thread::spawn(move || {
                let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
                assert!(client.execute(&statement, &[]).unwrap() > 0, "{statement}");
            })
            .join()
            .unwrap();
        }
    }
}

/// Gives a block, as the list names it, bytes that nothing reads.
fn damage(test: &TestApp, column: &str, block: &str) {
    let (slot, n) = block.split_once(':').unwrap();
    let bytes = match test.app.db.location() {
        Location::Sqlite(_) => "x'09'",
        Location::Postgres(_) => "'\\x09'",
    };
    tamper(test, &format!("UPDATE event_block SET {column} = {bytes} WHERE slot = {slot} AND n = {n}"));
}

/// A store with ten events in ten blocks, and a checkpoint that was kept elsewhere. Blocks of one slot are needed for
/// some of the attacks, so the slot with the most of them is answered too.
async fn prepared(test: &TestApp) -> (Checkpoint, i64) {
    for n in 0..12 {
        note(&test.system(), &format!("note {n}")).await;
    }
    let kept = checkpointed(test).await;
    let clean = report(test, Some(kept.clone())).await;
    assert!(clean.is_clean(), "{clean:?}");
    assert!(clean.entries >= 13 && clean.checkpoints == 2);
    let heads = kept.verify().unwrap().heads;
    let slot = heads.iter().max_by_key(|head| head.n).unwrap().slot;
    (kept, slot)
}

fn finds(report: &Report, part: &str) {
    assert!(!report.is_clean(), "nothing was found");
    assert!(report.findings.iter().any(|finding| finding.contains(part)), "{part}: {:?}", report.findings);
}

#[test]
fn a_changed_entry_is_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(
            &test,
            &format!(
                "UPDATE event_block SET body = (SELECT body FROM event_block WHERE slot = {slot} AND n = 1) WHERE slot = {slot} AND n = 2"
            ),
        );
        finds(&report(&test, Some(kept)).await, "block 2 was changed");
    });
}

#[test]
fn a_changed_entry_with_a_recomputed_hash_is_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(
            &test,
            &format!(
                "UPDATE event_block SET hash = (SELECT hash FROM event_block WHERE slot = {slot} AND n = 1) WHERE slot = {slot} AND n = 2"
            ),
        );
        finds(&report(&test, Some(kept)).await, "block 2");
    });
}

#[test]
fn a_removed_block_is_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(&test, &format!("DELETE FROM event_block WHERE slot = {slot} AND n = 2"));
        finds(&report(&test, Some(kept)).await, "blocks 2 to 2 are missing");
    });
}

#[test]
fn a_cut_off_end_is_found_by_the_checkpoint() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(&test, &format!("DELETE FROM event_block WHERE slot = {slot} AND n > 1"));
        tamper(&test, "DELETE FROM event_checkpoint WHERE n > 0");
        let without = report(&test, None).await;
        assert!(without.is_clean(), "nothing in the store itself can tell: {without:?}");
        finds(&report(&test, Some(kept)).await, "blocks were removed");
    });
}

#[test]
fn an_inserted_block_is_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(
            &test,
            &format!(
                "INSERT INTO event_block SELECT slot, n + 1, hash, hash, entries, first_at, last_at, body, details FROM event_block \
                 WHERE slot = {slot} AND n = (SELECT MAX(n) FROM event_block WHERE slot = {slot})"
            ),
        );
        finds(&report(&test, Some(kept)).await, "was changed");
    });
}

#[test]
fn a_block_below_the_first_number_is_found() {
    for n in [0, -7] {
        on_every_store(|test| async move {
            let (kept, slot) = prepared(&test).await;
            tamper(
                &test,
                &format!(
                    "INSERT INTO event_block SELECT slot, {n}, previous_hash, hash, entries, first_at, last_at, body, details \
                     FROM event_block WHERE slot = {slot} AND n = 1"
                ),
            );
            finds(&report(&test, Some(kept)).await, "numbers begin at 1");
        });
    }
}

#[test]
fn heads_are_signed_after_a_lease_that_was_busy() {
    on_every_store(|test| async move {
        note(&test.system(), "before").await;
        let other = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
        let (mut first, mut second) = (Maker::new(other), Maker::new(test.app.signing_key.clone()));
        assert!(first.make(&test.app.db).await.unwrap());
        note(&test.system(), "after").await;
        assert!(!second.make(&test.app.db).await.unwrap(), "the first still holds the lease");
        test.app.db.derive(|tx| tx.execute(&END_LEASE, strongback::bind![]).map(|_| ())).await.unwrap();
        assert!(
            second.make(&test.app.db).await.unwrap(),
            "the head is signed although nothing happened since"
        );
    });
}

static END_LEASE: strongback::db::Stmt = strongback::db::Stmt::new("UPDATE lease SET until = 0");

#[test]
fn reordered_blocks_are_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(&test, &format!("UPDATE event_block SET n = 1000 WHERE slot = {slot} AND n = 1"));
        tamper(&test, &format!("UPDATE event_block SET n = 1 WHERE slot = {slot} AND n = 2"));
        tamper(&test, &format!("UPDATE event_block SET n = 2 WHERE slot = {slot} AND n = 1000"));
        finds(&report(&test, Some(kept)).await, "does not follow");
    });
}

#[test]
fn a_changed_detail_is_found_and_an_erased_one_is_allowed() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(
            &test,
            &format!(
                "UPDATE event_block SET details = (SELECT details FROM event_block WHERE slot = {slot} AND n = 3) WHERE slot = {slot} AND n = 2"
            ),
        );
        finds(&report(&test, Some(kept)).await, "detail was changed");
    });
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        // Format byte 1, then the JSON list with nothing in the entry's place.
        let erased = match test.app.db.location() {
            Location::Sqlite(_) => "x'015b6e756c6c5d'",
            Location::Postgres(_) => "'\\x015b6e756c6c5d'",
        };
        tamper(&test, &format!("UPDATE event_block SET details = {erased} WHERE slot = {slot} AND n = 2"));
        let after = report(&test, Some(kept)).await;
        assert!(after.is_clean() && after.erased == 1, "{after:?}");
    });
}

#[test]
fn what_is_proven_needs_a_known_key_and_ends_at_a_checkpoint() {
    on_every_store(|test| async move {
        note(&test.system(), "first").await;
        let public = strongback::events::key::public(&test.app.signing_key);
        let with = async |keys: Vec<String>| {
            let ctx = test.system();
            let verified = ctx.read(move |sql| {
                authorize_admin(sql, "test")?;
                verify::verify(sql, None, &keys)
            });
            verified.await.unwrap()
        };
        let unsigned = with(vec![public.clone()]).await;
        assert!(unsigned.is_clean() && unsigned.proven.is_none(), "there is no checkpoint: {unsigned:?}");
        let kept = checkpointed(&test).await;
        note(&test.system(), "second").await;
        assert_eq!(with(Vec::new()).await.proven, None, "anybody could have signed it");
        let proven = with(vec![public.to_uppercase()]).await.proven.unwrap();
        assert_eq!((proven.checkpoint, proven.kept_elsewhere), (1, false));
        let proven = report(&test, Some(kept.clone())).await.proven.unwrap();
        assert_eq!((proven.checkpoint, proven.kept_elsewhere), (1, true));
        finds(&with(vec!["00".repeat(32)]).await, "another key than the known one");

        // The kept one is older than the newest stored one: what is proven and what is only signed are told apart.
        let newer = checkpointed(&test).await.verify().unwrap();
        let both = report(&test, Some(kept.clone())).await;
        let proven = both.proven.unwrap();
        assert_eq!((proven.checkpoint, proven.kept_elsewhere), (1, true));
        let signed = both.signed_since.unwrap();
        assert_eq!((newer.n, signed.checkpoint, signed.at), (2, 2, newer.at));
        let unkept = with(vec![public.clone()]).await;
        assert_eq!((unkept.proven.map(|proven| proven.checkpoint), unkept.signed_since), (Some(2), None));

        // Somebody who can write the store and has a key of his own signs what he likes.
        tamper(&test, "DELETE FROM event_checkpoint WHERE n > 0");
        let mut forger = Maker::new(ed25519_dalek::SigningKey::from_bytes(&[7; 32]));
        test.app.db.derive(|tx| tx.execute(&END_LEASE, strongback::bind![]).map(|_| ())).await.unwrap();
        assert!(forger.make(&test.app.db).await.unwrap());
        assert!(with(Vec::new()).await.proven.is_none());
        let found = report(&test, Some(kept)).await;
        finds(&found, "another key than the known one");
        assert!(found.proven.is_none() && found.signed_since.is_none(), "what is wrong proves nothing");
    });
}

#[test]
fn a_killed_process_does_not_keep_its_successor_from_signing() {
    on_every_store(|test| async move {
        note(&test.system(), "before").await;
        let mut first = Maker::new(test.app.signing_key.clone());
        assert!(first.make(&test.app.db).await.unwrap());
        drop(first);
        note(&test.system(), "after").await;
        let mut second = Maker::new(test.app.signing_key.clone());
        assert!(
            second.make(&test.app.db).await.unwrap(),
            "the lease is of the data directory, not of the process"
        );
    });
}

#[test]
fn a_forged_checkpoint_is_found() {
    on_every_store(|test| async move {
        let (mut kept, _) = prepared(&test).await;
        kept.body = kept.body.replacen("\"n\":1", "\"n\":2", 1);
        finds(&report(&test, Some(kept)).await, "signature does not belong");
    });
}

#[test]
fn no_personal_text_enters_the_hashed_bytes() {
    on_every_store(|test| async move {
        note(&test.system(), "ana@example.com said so").await;
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        assert_eq!(listed.json["events"][0]["detail"]["text"], "ana@example.com said so");
        let bodies: Vec<Vec<u8>> = test
            .system()
            .read(|sql| {
                authorize_admin(sql, "test")?;
                sql.all(&BODIES, strongback::bind![], |row| row.get(0))
            })
            .await
            .unwrap();
        for body in bodies {
            let text = String::from_utf8(strongback::events::chain::unpack(&body).unwrap()).unwrap();
            assert!(!text.contains("example.com"), "{text}");
        }
    });
}

static BODIES: strongback::db::Stmt = strongback::db::Stmt::new("SELECT body FROM event_block");

/// Appends a block that fits its chain, with an entry that is dated three days ago: what an intruder who knows the
/// format, and has no key, can do.
async fn forge(test: &TestApp, slot: i64) {
    let origin = Origin { now: strongback::time::now_ms() - 3 * 86_400_000, ..Origin::system() };
    let write = move |tx: &mut Sql<'_>| {
        let entry = Pending::new(Event::new(EventKind::AliasMove).subject("1"), &origin)?;
        let block = Chain::load(tx, slot)?.seal(vec![entry])?.unwrap();
        block.insert(tx)
    };
    test.app.db.derive(write).await.unwrap();
}

#[test]
fn a_block_of_a_slot_that_nobody_wrote_is_found() {
    on_every_store(|test| async move {
        let (kept, _) = prepared(&test).await;
        forge(&test, 77).await;
        let found = report(&test, Some(kept)).await;
        finds(&found, "slot 77 was inserted");
        assert!(found.proven.is_none());
    });
}

#[test]
fn a_block_that_is_dated_before_a_checkpoint_without_it_is_found() {
    on_every_store(|test| async move {
        let (kept, slot) = prepared(&test).await;
        tamper(&test, "INSERT INTO writer (slot, holder, lease_until) VALUES (77, '', 0)");
        forge(&test, 77).await;
        finds(&report(&test, Some(kept.clone())).await, "slot 77: block 1 is dated");
        tamper(&test, "DELETE FROM event_block WHERE slot = 77");
        assert!(report(&test, Some(kept.clone())).await.is_clean());
        forge(&test, slot).await;
        finds(&report(&test, Some(kept)).await, "before a checkpoint that has not seen it");
    });
}

#[test]
fn an_event_is_dated_when_it_is_written() {
    on_every_store(|test| async move {
        let before = strongback::time::now_ms();
        // As of a request that began an hour ago, with an upload.
        let mut ctx = test.system();
        ctx.origin.now = before - 3_600_000;
        note(&ctx, "late").await;
        let listed = test.get("/api/1.0/audit-log?action=catalog.update").await;
        assert!(listed.json["events"][0]["at"].as_i64().unwrap() >= before, "{listed:?}");
    });
}
