//! Batches: items as text, gathered until a request is full, and sent until it is answered.

use std::{thread::sleep, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    cli::client::Client,
    error::{Code, Error, Result},
    exchange::{Counts, ItemKind, Refused, RunEntry, TakeResponse},
    tracking::run::carried::{CarriedPoint, CarriedRun, POINTS_MAX},
};

/// Bytes of a request above which it is full.
const BYTES: usize = 8 << 20;
/// Items of a request.
const ITEMS: usize = 500;
/// Points of a run that go in one request.
const POINTS: usize = POINTS_MAX * 4 / 5;
/// How often a request is sent that meets a server which is busy, and the first pause.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(250);

/// Gathers items of one kind and sends them.
pub(super) struct Sender<'a> {
    client: &'a Client,
    label: &'a str,
    /// The field of the request in which they stand.
    field: &'static str,
    kind: Option<ItemKind>,
    /// Ids there, and items as text.
    waiting: Vec<(String, String)>,
    bytes: usize,
    pub counts: Counts,
    pub refused: Vec<Refused>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        client: &'a Client,
        label: &'a str,
        field: &'static str,
        kind: Option<ItemKind>,
    ) -> Self {
        Self {
            client,
            label,
            field,
            kind,
            waiting: Vec::new(),
            bytes: 0,
            counts: Counts::default(),
            refused: Vec::new(),
        }
    }

    /// Adds an item, and sends what waits once it is enough.
    pub(super) fn add(&mut self, from: &str, item: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(item).map_err(Error::internal)?;
        self.bytes += text.len();
        self.waiting.push((from.to_owned(), text));
        if self.bytes > BYTES || self.waiting.len() >= ITEMS { self.flush() } else { Ok(()) }
    }

    /// Adds a run, in parts if it has many points.
    pub(super) fn add_run(&mut self, from: &str, digest: &str, run: CarriedRun) -> Result<()> {
        let entry = |item, more| RunEntry { from: from.to_owned(), digest: digest.to_owned(), more, item };
        if run.points() <= POINTS {
            return self.add(from, &entry(run, false));
        }
        let mut rest = run;
        let mut points = std::mem::take(&mut rest.metrics).into_iter();
        let mut part = rest.clone();
        // What it read and wrote comes once.
        (rest.datasets, rest.models_read, rest.models_written) = (Vec::new(), Vec::new(), Vec::new());
        let mut open: Option<(String, Vec<CarriedPoint>)> = None;
        loop {
            let Some((key, mut values)) = open.take().or_else(|| points.next()) else {
                return self.add(from, &entry(part, false));
            };
            let room = POINTS - part.points();
            let later = values.split_off(values.len().min(room));
            if !values.is_empty() {
                part.metrics.insert(key.clone(), values);
            }
            if !later.is_empty() {
                self.add(from, &entry(std::mem::replace(&mut part, rest.clone()), true))?;
                open = Some((key, later));
            }
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        self.send(&waiting)
    }

    /// Sends items. Where a request is refused as a whole, as for a text that nothing can hold, or since nothing of it can be kept, one
    /// half and the other are sent, until each such item is found.
    fn send(&mut self, items: &[(String, String)]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let label = serde_json::to_string(self.label).map_err(Error::internal)?;
        let texts: Vec<&str> = items.iter().map(|(_, text)| text.as_str()).collect();
        let body = format!("{{\"source\":{label},\"{}\":[{}]}}", self.field, texts.join(","));
        let sent = insist(|| {
            let sent = self.client.send_named("/api/1.0/exchange/take", "application/json", body.clone());
            sent.map(|(answer, _): (TakeResponse, _)| answer)
        });
        match sent {
            Ok(answer) => {
                self.counts.made += answer.counts.made;
                self.counts.changed += answer.counts.changed;
                self.counts.same += answer.counts.same;
                self.refused.extend(answer.refused);
            }
            Err(error)
                if !error.is_ours() && !is_passing(&error) && error.code() != Code::Unauthenticated =>
            {
                match items {
                    [(id, _)] => {
                        let why = error.message().to_owned();
                        self.refused.push(Refused { kind: self.kind, id: id.clone(), why });
                    }
                    items => {
                        let (first, second) = items.split_at(items.len() / 2);
                        self.send(first)?;
                        self.send(second)?;
                    }
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Asks the server something, once more where it is busy or away.
pub(super) fn question<A: DeserializeOwned>(
    client: &Client,
    path: &str,
    request: &impl Serialize,
) -> Result<A> {
    let body = serde_json::to_string(request).map_err(Error::internal)?;
    let (answer, _) = insist(|| client.send_named(path, "application/json", body.clone()))?;
    Ok(answer)
}

/// Repeats a call that met a server which is busy or away. Whatever is repeated here is harmless twice.
pub(super) fn insist<T>(mut call: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match call() {
            Err(error) if is_passing(&error) => sleep(pause),
            answer => return answer,
        }
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    call()
}

fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Code::TemporarilyUnavailable | Code::DeadlineExceeded | Code::RequestLimitExceeded)
}
