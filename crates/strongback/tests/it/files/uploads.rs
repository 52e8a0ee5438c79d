//! Parts that come while their upload is being completed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use strongback::{
    context::Ctx,
    error::{Code, Error, Result},
    files::{self, Existing, File, Guard, PartGiven},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use uuid::Uuid;

use super::{body, guard, objects, path, text};
use crate::support::on_every_store;

/// A guard of which the first call stays, with its snapshot taken, until it is let go.
fn staying(area: &str) -> (Guard, UnboundedReceiver<()>, mpsc::Sender<()>) {
    let (inner, first) = (guard(area), AtomicBool::new(true));
    let (stays, stayed) = unbounded_channel();
    let (go, goes) = mpsc::channel();
    let goes = parking_lot::Mutex::new(goes);
    let staying: Guard = Arc::new(move |sql| {
        let place = inner(sql)?;
        if first.swap(false, Ordering::Relaxed) {
            stays.send(()).unwrap();
            goes.lock().recv().unwrap();
        }
        Ok(place)
    });
    (staying, stayed, go)
}

/// Begins an upload of so many parts and completes it; part 1 is stored again after its row was read for that.
async fn complete_while_part_1_comes_again(ctx: &Ctx, area: &str, etags: &[&str]) -> (Uuid, Result<File>) {
    let (plain, name) = (guard(area), path("big"));
    let id = files::begin(ctx, &plain, &name, Existing::Replaced, None).await.unwrap();
    for number in 1..=etags.len() as u32 {
        files::part(ctx, &plain, id, number, body(&format!("early{number}."))).await.unwrap();
    }
    let given = (1..).zip(etags).map(|(number, etag)| PartGiven { number, etag: (*etag).to_owned() });
    let (staying, mut stayed, go) = staying(area);
    let (ctx_, name_, given) = (ctx.clone(), name.clone(), given.collect());
    let completing = tokio::spawn(async move { files::complete(&ctx_, &staying, id, &name_, given).await });
    stayed.recv().await.unwrap();
    files::part(ctx, &plain, id, 1, body("late1.")).await.unwrap();
    go.send(()).unwrap();
    (id, completing.await.unwrap())
}

#[test]
fn a_part_that_comes_again_while_its_upload_is_completed_takes_no_bytes_away() {
    on_every_store(|test| async move {
        let ctx = test.system();
        for (area, etags, whole) in [("one", &[""][..], "late1."), ("two", &["", ""], "late1.early2.")] {
            let (_, outcome) = complete_while_part_1_comes_again(&ctx, area, etags).await;
            assert_eq!(outcome.unwrap().size, whole.len() as u64, "{area}");
            assert_eq!(text(&ctx, area, "big").await.as_deref(), Some(whole));
        }
        assert_eq!(objects(&ctx), 2, "what was joined in vain is gone");
    });
}

#[test]
fn an_upload_is_not_completed_with_a_part_that_its_client_did_not_mean() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let early = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("early1."));
        let (id, outcome) = complete_while_part_1_comes_again(&ctx, "a", &[&early]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), Code::InvalidParameterValue);
        assert!(error.message().contains("Part 1 has the etag"), "{error}");
        assert_eq!(text(&ctx, "a", "big").await, None);
        // It is as open as before.
        let given = vec![PartGiven { number: 1, etag: String::new() }];
        files::complete(&ctx, &guard("a"), id, &path("big"), given).await.unwrap();
        assert_eq!(text(&ctx, "a", "big").await.as_deref(), Some("late1."));
    });
}

/// Begins an upload of two parts that must not replace anything.
async fn begun(ctx: &Ctx, guard: &Guard) -> Uuid {
    let id = files::begin(ctx, guard, &path("big"), Existing::Kept, None).await.unwrap();
    for number in 1..=2 {
        files::part(ctx, guard, id, number, body("part.")).await.unwrap();
    }
    id
}

#[test]
fn what_is_refused_leaves_no_bytes() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let plain = guard("a");
        let given = || (1..=2).map(|number| PartGiven { number, etag: String::new() }).collect::<Vec<_>>();
        let (first, second, third) =
            (begun(&ctx, &plain).await, begun(&ctx, &plain).await, begun(&ctx, &plain).await);
        // The second is looked at, and made into one, before the first is there.
        let (staying, mut stayed, go) = staying("a");
        let (ctx_, given_) = (ctx.clone(), given());
        let completing =
            tokio::spawn(async move { files::complete(&ctx_, &staying, second, &path("big"), given_).await });
        stayed.recv().await.unwrap();
        files::complete(&ctx, &plain, first, &path("big"), given()).await.unwrap();
        go.send(()).unwrap();
        assert_eq!(completing.await.unwrap().unwrap_err().code(), Code::AlreadyExists);
        let late = files::complete(&ctx, &plain, third, &path("big"), given()).await;
        assert_eq!(late.unwrap_err().code(), Code::AlreadyExists);
        assert_eq!(objects(&ctx), 5, "the file and the parts of two uploads that are open");

        // Nor does a part whose caller may not store it any more once it is there.
        let (inner, calls) = (guard("a"), Arc::new(AtomicBool::new(true)));
        let once: Guard = Arc::new(move |sql| match calls.swap(false, Ordering::Relaxed) {
            true => inner(sql),
            false => Err(Error::new(Code::PermissionDenied, "not any more")),
        });
        let refused = files::part(&ctx, &once, second, 3, body("more")).await.unwrap_err();
        assert_eq!((refused.code(), objects(&ctx)), (Code::PermissionDenied, 5));
    });
}
