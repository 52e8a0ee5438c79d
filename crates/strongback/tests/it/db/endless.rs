//! What would never end on the store ends all the same, and keeps nobody from the store or from stopping.

use std::time::{Duration, Instant};

use strongback::{
    bind,
    catalog::authorize_admin,
    db::{Sql, Stmt},
    error::Result,
};

use crate::support::{TestApp, on_every_store};

/// More than there are reader connections.
const READS: usize = 6;

/// A loop of statements that does not end by itself, as a defect would make it.
fn endless(sql: &mut Sql<'_>) -> Result<()> {
    authorize_admin(sql, "test")?;
    loop {
        sql.one(&ONE, bind![], |row| row.get::<i64>(0))?;
    }
}

static ONE: Stmt = Stmt::new("SELECT COUNT(*) FROM principal");

#[test]
fn a_read_that_would_not_end_ends_with_its_request() {
    on_every_store(|test| async move {
        let ctx = test.system();
        let reads = (0..READS).map(|_| tokio::time::timeout(Duration::from_millis(500), ctx.read(endless)));
        let ended = futures::future::join_all(reads).await;
        assert!(ended.iter().all(Result::is_err), "nobody could have answered");
        let began = Instant::now();
        assert_eq!(test.get("/api/2.0/mlflow/experiments/get?experiment_id=0").await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "the readers were not free: {:?}", began.elapsed());
    });
}

#[test]
fn a_process_can_stop_although_a_read_would_not_end() {
    let (ended, has_ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let test = TestApp::open(&[], None).await;
            // Until all readers are taken and one more waits.
            while test.app.db.reads_waiting() == 0 {
                let ctx = test.system();
                tokio::spawn(async move { ctx.read(endless).await });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        drop(runtime);
        ended.send(()).unwrap();
    });
    has_ended.recv_timeout(Duration::from_secs(30)).expect("the process cannot end");
}
